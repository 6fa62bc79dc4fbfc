"""The step engine: conditions, numbering, the way back, defaults."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.flag import read_number
from bert_mpq.ui.wizard.prompts import BACK
from bert_mpq.ui.wizard.steps import CUSTOM, Step, Walk, menu


class Script:
    """Answers menus and lines from a list (BACK, or a value) and keeps what it was asked."""

    def __init__(self, monkeypatch):
        self.answers = []
        self.titles = []
        self.defaults = []
        monkeypatch.setattr("bert_mpq.ui.wizard.steps.choose", self._choose)
        monkeypatch.setattr("bert_mpq.ui.wizard.steps.ask_text", self._ask_text)

    def __call__(self, *answers):
        self.answers = list(answers)
        return self

    def step(self, field, **facts):
        return Step(name=field, field=field, options=menu(), **facts)

    def _choose(self, title, options, default, **_):
        return self._answer(title, default)

    def _ask_text(self, title, check, default=""):
        answer = self._answer(title, default)
        assert answer is BACK or check(answer) == ""
        return answer

    def _answer(self, title, default):
        self.titles.append(title)
        self.defaults.append(default)
        return self.answers.pop(0)


@pytest.fixture
def answered(monkeypatch):
    """Give the answers to come; return what keeps the questions."""
    return Script(monkeypatch)


@pytest.fixture
def errors(monkeypatch):
    """What is shown on stderr."""
    stream = io.StringIO()
    monkeypatch.setattr("bert_mpq.ui.wizard.steps.error_console", lambda: Console(file=stream, width=200))
    return stream


def walk(script, steps, remembered=None):
    return Walk(steps, RunConfig(), remembered or RunConfig())


def test_the_straight_path_asks_every_step_in_order_and_numbers_them(answered):
    script = answered("random", "hierarchical")
    config = walk(script, [script.step("sampling"), script.step("clustering")]).forward()
    assert (config.sampling, config.clustering) == ("random", "hierarchical")
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 2  clustering"]


def test_a_step_that_does_not_apply_is_neither_asked_nor_counted(answered):
    script = answered("stratified", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    config = walk(script, steps).forward()
    assert config.clustering == "kmeans"
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 2  seed"]


def test_an_answer_can_add_a_step(answered):
    script = answered("random", "percentile", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    walk(script, steps).forward()
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 3  clustering", "Step 3 of 3  seed"]


def test_back_passes_over_a_skipped_step_and_an_orphaned_answer_does_not_leak(answered):
    script = answered("random", "hierarchical", BACK, BACK, "stratified", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    config = walk(script, steps).forward()
    assert (config.sampling, config.clustering, config.seed) == ("stratified", "kmeans", 7)
    assert not script.answers


def test_back_from_the_first_step_leaves_even_when_earlier_steps_do_not_apply(answered):
    script = answered(BACK)
    steps = [script.step("sampling", when=lambda config: False), script.step("seed")]
    assert walk(script, steps).forward() is BACK
    assert script.titles == ["Step 1 of 1  seed"]


def test_a_step_asked_again_offers_its_last_answer(answered):
    script = answered("random", BACK, "random", 7)
    walk(script, [script.step("sampling"), script.step("seed")]).forward()
    assert script.defaults == ["stratified", 42, "random", 42]


def test_remembered_answers_are_only_defaults(answered):
    script = answered("stratified")
    remembered = RunConfig(sampling="random", seed=7)
    config = walk(script, [script.step("sampling")], remembered).forward()
    assert script.defaults == ["random"]
    assert config == RunConfig()


def test_back_from_the_plan_asks_the_last_step_again_then_the_one_before(answered):
    script = answered("random", 7, 8, BACK, "stratified", 9)
    asked = walk(script, [script.step("sampling"), script.step("seed")])
    asked.forward()
    assert asked.back().seed == 8
    config = asked.back()
    assert (config.sampling, config.seed) == ("stratified", 9)
    assert script.titles[-3:] == ["Step 2 of 2  seed", "Step 1 of 2  sampling", "Step 2 of 2  seed"]


def test_without_steps_the_way_back_leads_out():
    asked = Walk([], RunConfig(), RunConfig())
    assert asked.forward() == RunConfig()
    assert asked.back() is BACK


SEED = Step(
    name="Seed",
    field="seed",
    options=menu(("the usual", 42, ""), ("your own", CUSTOM, "")),
    line=lambda config: "Which seed?",
    read=lambda config, text: read_number(text),
)


def test_esc_at_the_line_leads_back_to_the_menu_that_led_to_it(answered):
    script = answered(CUSTOM, BACK, CUSTOM, "7")
    assert SEED.ask(RunConfig(), "Seed", RunConfig()) == RunConfig(seed=7)
    assert script.titles == ["Seed", "Which seed?", "Seed", "Which seed?"]
    assert script.defaults == [42, "", 42, ""]


def test_an_answer_that_was_typed_is_offered_again(answered):
    script = answered(CUSTOM, "8")
    assert SEED.ask(RunConfig(), "Seed", RunConfig(seed=7)).seed == 8
    assert script.defaults == [CUSTOM, "7"]


def test_a_line_alone_begins_with_the_value_and_esc_leaves_it(answered):
    step = Step(name="Folder", field="output", line=lambda config: "Which folder?")
    script = answered(BACK)
    assert step.ask(RunConfig(), "Folder", RunConfig(output="here")) is BACK
    assert script.defaults == ["here"]


def test_an_answer_that_will_not_do_is_asked_for_again_where_it_was_given(answered, errors):
    def check(config):
        if config.seed < 10:
            raise MpqError("E-CONFIG", f"{config.seed} is too small.")

    script = answered(42, CUSTOM, "7", "12")
    step = replace(SEED, check=check, take=lambda config, seed: config.replace(seed=seed % 40))
    assert step.ask(RunConfig(), "Seed", RunConfig()).seed == 12
    assert script.titles == ["Seed", "Seed", "Which seed?", "Which seed?"]
    assert script.defaults[-1] == "7"
    assert errors.getvalue().splitlines() == [
        "error[E-CONFIG]: 2 is too small.",
        "error[E-CONFIG]: 7 is too small.",
    ]


def test_what_cannot_be_read_is_refused_at_the_prompt(monkeypatch):
    said = []

    def ask_text(message, check, default=""):
        said.extend(check(text) for text in ("many", "4"))
        return "4"

    monkeypatch.setattr("bert_mpq.ui.wizard.steps.ask_text", ask_text)
    assert replace(SEED, options=None).ask(RunConfig(), "Seed", RunConfig()).seed == 4
    assert said == ['"many" is not a whole number', ""]


def test_an_answer_that_cannot_stand_with_the_others_is_told_and_asked_again(answered, errors):
    def take(config, answer):
        if answer == "both":
            raise MpqError("E-CONFIG", "Not both of these.")
        return config.replace(seed=answer)

    step = answered("both", 7).step("seed", take=take)
    assert step.ask(RunConfig(), "Seed", RunConfig()).seed == 7
    assert "Not both of these." in errors.getvalue()


def test_what_follows_from_a_typed_answer_stands_under_it(answered, capsys):
    step = Step(
        name="seed",
        field="seed",
        line=lambda config: "Seed",
        read=lambda config, text: read_number(text),
        remark=lambda config: f"The seed is {config.seed} now",
    )
    answered("7")
    assert step.ask(RunConfig(), "Seed", RunConfig()).seed == 7
    assert capsys.readouterr().out == "  The seed is 7 now\n"
