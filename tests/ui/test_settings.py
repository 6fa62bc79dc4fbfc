"""The settings: each is checked before it is accepted."""

import io
import typing

import pytest
from rich.console import Console

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import EmbeddingChoice
from bert_mpq.settings.quantizers import QuantizerName
from bert_mpq.ui.wizard import settings
from bert_mpq.ui.wizard.settings import change_settings
from tests.helpers.keyboard import pressing


@pytest.fixture
def change(monkeypatch):
    """Answer the prompts of the settings; return the configuration, and what went to stderr.

    There is no GPU and no embedded base classifier, whatever the machine has: they add rows.
    """
    monkeypatch.setattr("bert_mpq.ui.wizard.settings.accelerator", lambda: "cpu")
    monkeypatch.setattr("bert_mpq.sources.embedded.files.installed", lambda base: False)

    def run(*prompts, config=None):
        errors = Console(file=io.StringIO(), width=200)
        monkeypatch.setattr("bert_mpq.ui.wizard.steps.error_console", lambda: errors)
        with pressing(*prompts, "esc"):
            changed = change_settings(config or RunConfig())
        return changed, errors.file.getvalue()

    return run


def test_leaving_at_once_changes_nothing(change):
    assert change() == (RunConfig(), "")


def test_the_embedded_classifier(change):
    assert change("enter", "down enter")[0].model == "embedded"


def test_a_model_folder_is_checked_before_it_is_accepted(change, small_model):
    folder = str(small_model)
    changed, said = change("enter", "down down enter", ("/gone", "enter"), ("ctrl-u", folder, "enter"))
    assert changed.model == folder
    assert "error[E-MODEL]: There is no model folder at /gone." in said


def test_a_hub_id_that_cannot_be_reached_is_not_accepted(change):
    changed, said = change("enter", "down down enter", ("some/one", "enter"), "esc", "esc")
    assert changed.model == "default"
    assert "error[E-NETWORK]" in said


@pytest.mark.parametrize(
    ("device", "installed", "said"),
    [("cpu", False, None), ("cpu", True, "on a CPU"), ("cuda", False, "quick on this GPU")],
)
def test_twelve_layers_are_offered_where_their_files_or_a_gpu_are(monkeypatch, device, installed, said):
    monkeypatch.setattr("bert_mpq.ui.wizard.settings.accelerator", lambda: device)
    monkeypatch.setattr("bert_mpq.sources.embedded.files.installed", lambda base: installed)
    found = [
        option.description for option in settings._models(RunConfig()) if option.value == "embedded-base"
    ]
    assert len(found) == (said is not None)
    assert all(said in text for text in found)


def test_a_device_that_is_not_there_cannot_be_chosen(change):
    # cuda and mps are passed over: after cpu comes auto again.
    assert change("down down enter", "down down enter")[0].device == "auto"
    assert change("down down enter", "down enter")[0].device == "cpu"


def test_the_length_is_checked_at_the_prompt(change):
    to_length = "down down down enter"
    assert change(to_length, ("ctrl-u", "128", "enter"))[0].max_length == 128
    assert change(to_length, ("ctrl-u", "9000", "enter", "ctrl-u", "64", "enter"))[0].max_length == 64
    shorter = RunConfig(max_length=64)
    assert change(to_length, ("ctrl-u", "auto", "enter"), config=shorter)[0].max_length is None


def test_every_quantizer_and_every_precision_of_the_embeddings_can_be_chosen(change):
    to_quantizer, to_embeddings = "down down down down enter", "down down down down down enter"
    chosen = [change(to_quantizer, f"{'down ' * n}enter")[0].quantizer for n in range(6)]
    assert chosen == list(typing.get_args(QuantizerName))
    chosen = [change(to_embeddings, f"{'down ' * n}enter")[0].embeddings for n in range(5)]
    assert chosen == list(typing.get_args(EmbeddingChoice))


def test_a_folder_that_cannot_be_written_is_not_accepted(change, tmp_path):
    (tmp_path / "file").write_text("")
    bad, good = str(tmp_path / "file"), str(tmp_path / "new")
    changed, said = change(
        "down down down down down down enter", ("ctrl-u", bad, "enter"), ("ctrl-u", good, "enter")
    )
    assert changed.output == good
    assert "error[E-READONLY]" in said
    assert not (tmp_path / "new").exists()
