"""The data in the menu: read before it is accepted, shown as it was understood, asked about where unclear."""

import io

import pytest
from rich.console import Console

from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.columns import wanted_of
from bert_mpq.sources.reviews import find_reviews
from bert_mpq.ui.wizard.prompts import BACK
from bert_mpq.ui.wizard.settings import SETTINGS
from tests.helpers.data_forms import Form, write
from tests.helpers.keyboard import pressing

ROWS = [(f"Review number {index}: a film, of course.", index % 2) for index in range(20)]
OWN = "down enter"


@pytest.fixture
def answered(monkeypatch):
    """Answer the prompts of the data; return the configuration, what was shown, and what went to stderr."""
    (step,) = (step for step in SETTINGS if step.field == "data")

    def run(*prompts, config=None):
        errors, output = (Console(file=io.StringIO(), width=200) for _ in range(2))
        monkeypatch.setattr("bert_mpq.ui.wizard.steps.error_console", lambda: errors)
        monkeypatch.setattr("bert_mpq.ui.wizard.data_step.output_console", lambda: output)
        config = config or RunConfig()
        with pressing(*prompts):
            changed = step.ask(config, step.name, config)
        return changed, output.file.getvalue(), errors.file.getvalue()

    return run


def typed(path):
    return (str(path), "enter")


def labels_of(config):
    return dict(zip(*_columns(find_reviews(config.data, wanted_of(config))), strict=True))


def _columns(source):
    reviews = source.reading.calibration.reviews()
    return list(reviews.texts), reviews.labels


def test_a_file_is_shown_as_it_was_understood(answered, tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(names=("review", "sentiment"), words=("negative", "positive")))
    config, shown, said = answered(OWN, typed(path))
    assert (config.data, said) == (str(path), "")
    line = (
        "Read reviews.csv: 2 columns: review -> text, sentiment -> label; positive = 1; 20 rows, 20 distinct,"
        " 50.0 % positive; split by hash\n"
    )
    assert shown == line


def test_a_file_that_cannot_be_read_is_not_accepted(answered, tmp_path):
    (tmp_path / "bad.csv").write_text("text,label\ngood\n")
    good = write(tmp_path, {"": ROWS}, Form())
    config, _, said = answered(OWN, typed(tmp_path / "bad.csv"), ("ctrl-u", *typed(good)))
    assert config.data == str(good)
    assert "error[E-DATA-FORMAT]: bad.csv, row 1 has 1 field" in said


def test_columns_without_a_known_name_are_asked_for(answered, tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(names=("opinion", "verdict"), words=("rotten", "fresh")))
    config, shown, said = answered(OWN, typed(path), "enter", "enter", "up enter")
    assert (config.text_column, config.label_column, said) == ("opinion", "verdict", "")
    assert config.labels == ("fresh=positive", "rotten=negative")
    assert labels_of(config) == dict(ROWS)
    assert "opinion -> text, verdict -> label; fresh = 1" in shown


def test_each_of_many_labels_is_asked_for(answered, tmp_path):
    rows = [(f"Review {index}.", index % 3) for index in range(21)]
    path = write(tmp_path, {"": rows}, Form(words=(1, 3, 5)))
    config, shown, _ = answered(OWN, typed(path), "enter", "down down enter", "down enter")
    assert config.labels == ("1=negative", "3=skip", "5=positive")
    assert "14 rows, 14 distinct, 50.0 % positive; 7 left out (3)" in shown


def test_leaving_a_question_goes_back_to_the_path(answered, tmp_path):
    unclear = write(tmp_path, {"": ROWS}, Form(words=(1, 2)), "unclear")
    clear = write(tmp_path, {"": ROWS}, Form(), "clear")
    config, _, _ = answered(OWN, typed(unclear), "esc", ("ctrl-u", *typed(clear)))
    assert (config.data, config.labels) == (str(clear), ())
    assert answered(OWN, typed(unclear), "esc", "esc", "esc")[0] is BACK


def test_what_was_said_of_other_data_is_forgotten(answered, tmp_path):
    path = write(tmp_path, {"": ROWS}, Form(words=(1, 2)))
    said = RunConfig(data=str(path), labels=("1=negative", "2=positive"))
    config, shown, _ = answered("up enter", config=said)
    assert config == RunConfig()
    assert shown == (
        "Read stanfordnlp/imdb: TRAIN set, calibration half: 12,450 reviews;"
        " TRAIN set, held-out half: 12,454 reviews\n"
    )
    plain = write(tmp_path, {"": ROWS}, Form(), "plain")
    config, _, _ = answered("enter", ("ctrl-u", *typed(plain)), config=said)
    assert (config.data, config.labels) == (str(plain), ())
