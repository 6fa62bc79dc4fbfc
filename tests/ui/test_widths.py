"""Every step on a screen of 80 columns: nothing is cut off, and the answered line fits as well."""

import pytest

from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.classifiers import ModelSource
from bert_mpq.sources.reviews import DataSource
from bert_mpq.ui.wizard import prompts
from bert_mpq.ui.wizard.questions import phase_1_steps, phase_2_steps
from bert_mpq.ui.wizard.settings import SETTINGS, setting_rows

MODEL = ModelSource(name="m", kind="hub", layers=12, hidden=768, inner=3072, max_length=512)
SOURCES = {
    name: Sources(
        model=MODEL,
        data=DataSource(name="stanfordnlp/imdb", kind=kind),
        sizes={"calibration": size, "evaluation": size},
    )
    for name, kind, size in (("hub", "hub", 25_000), ("wheel", "wheel", 12_450), ("file", "file", 4_321))
}


def check(title, options, instruction=prompts.INSTRUCTION):
    """Hold a menu to the width."""
    assert len(f"{title} {instruction}") <= 76, title
    for option in options:
        row = f"{option.title} ({option.disabled})" if option.disabled else option.title
        assert len(row) <= 74, row
        assert len(option.description) <= 64, option.description
        assert len(f"? {title} {option.title}") <= 80, (title, option.title)


def check_step(step, title, config):
    """Hold a question to the width: its menu, and the line that can be typed."""
    assert step.options or step.line
    if step.options:
        check(title, step.options(config))
    if step.line:
        assert len(f"? {step.line(config)} (Esc goes back) {'x' * 8}") <= 80, step.line(config)


@pytest.mark.parametrize("strategy", [{}, {"clustering": "budget", "target": "4bits"}])
@pytest.mark.parametrize("name", SOURCES)
def test_the_steps_fit(write_scores, tmp_path, name, strategy):
    write_scores(12, "layer_sensitivity_BERT_IMDB_pwcca.json")
    write_scores("{", "layer_sensitivity_BERT_IMDB_cka.json")
    config = RunConfig(output=str(tmp_path), **strategy)
    steps = [*phase_1_steps(SOURCES[name]), *phase_2_steps(SOURCES[name], with_file=True)]
    for number, step in enumerate(steps, start=1):
        check_step(step, f"Step {number} of {len(steps)}  {step.name}", config)


def test_the_settings_fit():
    long = RunConfig(model="/a/very/long/path" * 9, data="/data/" + "x" * 90, output="/out/" + "y" * 90)
    check("Settings", setting_rows(long))
    for step in SETTINGS:
        assert len(step.name) <= 14
        check_step(step, step.name, RunConfig())


@pytest.mark.parametrize("columns", [60, 80])
def test_descriptions_wrap_and_reasons_shrink_to_the_window(columns):
    text = "Score every encoder layer in one pass over the reviews. Writes Sensitivities/"
    lines = f"  Description: {prompts._wrapped(text, columns)}".split("\n")
    assert all(len(line) <= columns for line in lines)
    assert " ".join(" ".join(lines).split()) == f"Description: {text}"
    long = prompts.Option(title="layer_sensitivity_BERT_IMDB_cka.json", value=1, disabled="is not " * 20)
    assert len(f"   - {long.title} ({prompts._reason(long, columns)})") < columns


@pytest.mark.parametrize(("columns", "shown"), [(60, "needs 769 reviews"), (45, "needs..."), (40, True)])
def test_a_reason_without_room_is_left_out_and_never_cut_inside_a_figure(columns, shown):
    option = prompts.Option(title="PWCCA + CKA (recommended)", value=1, disabled="needs 769 reviews")
    assert prompts._reason(option, columns) == shown


@pytest.mark.parametrize(
    ("message", "columns", "shown"),
    [
        ("Settings", 80, prompts.INSTRUCTION),
        ("Step 1 of 3  Calibration set size", 60, "(Esc goes back)"),
        ("Step 2 of 7  Sampling strategy", 40, "(Esc)"),
        ("Step 1 of 3  Calibration set size", 40, " "),
    ],
)
def test_an_instruction_is_as_long_as_its_line(message, columns, shown):
    assert prompts._fitting(prompts.INSTRUCTION, message, columns) == shown
    assert len(f"? {message} {shown}") <= columns


def test_a_menu_that_esc_does_not_leave_names_the_arrows_alone():
    assert prompts._fitting("(arrows, Enter)", "What would you like to do?", 40) == "(arrows)"
