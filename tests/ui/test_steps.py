"""The step engine: conditions, numbering, the way back, defaults."""

from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.wizard.steps import BACK, Step, Walk


class Script:
    """Answers steps from a list (BACK, or a value for the field of the step) and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.titles = []
        self.defaults = []

    def step(self, field, **options):
        def ask(config, title, earlier):
            self.titles.append(title)
            self.defaults.append(getattr(earlier, field))
            answer = self.answers.pop(0)
            return BACK if answer is BACK else config.replace(**{field: answer})

        return Step(name=field, ask=ask, field=field, **options)


def walk(script, steps, remembered=None):
    return Walk(steps, RunConfig(), remembered or RunConfig())


def test_the_straight_path_asks_every_step_in_order_and_numbers_them():
    script = Script("random", "hierarchical")
    config = walk(script, [script.step("sampling"), script.step("clustering")]).forward()
    assert (config.sampling, config.clustering) == ("random", "hierarchical")
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 2  clustering"]


def test_a_step_that_does_not_apply_is_neither_asked_nor_counted():
    script = Script("stratified", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    config = walk(script, steps).forward()
    assert config.clustering == "kmeans"
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 2  seed"]


def test_an_answer_can_add_a_step():
    script = Script("random", "percentile", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    walk(script, steps).forward()
    assert script.titles == ["Step 1 of 2  sampling", "Step 2 of 3  clustering", "Step 3 of 3  seed"]


def test_back_passes_over_a_skipped_step_and_an_orphaned_answer_does_not_leak():
    script = Script("random", "hierarchical", BACK, BACK, "stratified", 7)
    steps = [
        script.step("sampling"),
        script.step("clustering", when=lambda config: config.sampling == "random"),
        script.step("seed"),
    ]
    config = walk(script, steps).forward()
    assert (config.sampling, config.clustering, config.seed) == ("stratified", "kmeans", 7)
    assert not script.answers


def test_back_from_the_first_step_leaves_even_when_earlier_steps_do_not_apply():
    script = Script(BACK)
    steps = [script.step("sampling", when=lambda config: False), script.step("seed")]
    assert walk(script, steps).forward() is BACK
    assert script.titles == ["Step 1 of 1  seed"]


def test_a_step_asked_again_offers_its_last_answer():
    script = Script("random", BACK, "random", 7)
    walk(script, [script.step("sampling"), script.step("seed")]).forward()
    assert script.defaults == ["stratified", 42, "random", 42]


def test_remembered_answers_are_only_defaults():
    script = Script("stratified")
    remembered = RunConfig(sampling="random", seed=7)
    config = walk(script, [script.step("sampling")], remembered).forward()
    assert script.defaults == ["random"]
    assert config == RunConfig()


def test_back_from_the_plan_asks_the_last_step_again_then_the_one_before():
    script = Script("random", 7, 8, BACK, "stratified", 9)
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
