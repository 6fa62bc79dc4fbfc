"""Scores of another model are used, and named as such wherever the result is."""

import json

import pytest

from bert_mpq import RunConfig, analyse, quantize_and_evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.evaluation import Sensitivities
from bert_mpq.records.evaluation_report import evaluation_text
from bert_mpq.records.reading import read_evaluation


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def config(tmp_path, small_model):
    return RunConfig(
        model=str(small_model),
        output=str(tmp_path),
        calibration_size=12,
        eval_size=8,
        max_length=12,
        metrics=("cka",),
        quantizer="rtn",
        bits=(8, 4),
        device="cpu",
    )


def evaluated(config, file):
    notes = Notes()
    done = quantize_and_evaluate(config.replace(sensitivities=str(file)), notes)
    return done, [note for note in notes.notes if "scores in" in note]


def test_the_models_own_scores_need_no_word(config):
    analysis = analyse(config)
    done, notes = evaluated(config, analysis.deciding_file(config))
    assert notes == []
    assert done.result.scores_of == ""
    assert "sensitivity_model" not in evaluation_text(done.result, "")


@pytest.mark.parametrize("kept", ["TXT", "run record"])
def test_scores_of_another_model_are_named(config, tmp_path, small_model, kept):
    """By the TXT beside them, or by the record of the run that wrote them."""
    other = tmp_path / "other"
    change_weights(small_model, other)
    analysis = analyse(config.replace(model=str(other)))
    file = analysis.deciding_file(config)
    if kept == "run record":
        file.with_suffix(".txt").unlink()
    done, notes = evaluated(config, file)
    assert notes == [f"The scores in {file.name} are those of {other}."]
    assert f"sensitivity_model: {other}\n" in done.files[0].read_text()
    assert read_evaluation(done.files[1]).result.scores_of == str(other)


def test_scores_of_the_same_name_with_other_weights_are_named(config, tmp_path, small_model):
    model = tmp_path / "model"
    change_weights(small_model, model)
    analysis = analyse(config.replace(model=str(model)))
    file = analysis.deciding_file(config)
    change_weights(small_model, model, factor=1.5)
    done, notes = evaluated(config.replace(model=str(model)), file)
    assert notes == [f"The scores in {file.name} are those of {model} with other weights."]
    assert f"sensitivity_model: {model} with other weights\n" in done.files[0].read_text()


def test_scores_of_nobody_knows_whom_are_used_as_ever(config, tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({f"layer_{index}": 0.1 * index for index in range(5)}))
    done, notes = evaluated(config, file)
    assert (notes, done.result.scores_of) == ([], "")


@pytest.mark.parametrize(
    ("name", "fingerprint", "whose"),
    [
        ("", "", ""),
        ("org/one", "", ""),
        ("org/two", "", "org/two"),
        ("org/one", "aa", ""),
        ("org/one", "bb", "org/one with other weights"),
        ("org/two", "aa", ""),
        ("org/two", "bb", "org/two"),
        ("", "bb", "another model"),
    ],
)
def test_weights_tell_for_sure_and_names_where_they_are_unknown(name, fingerprint, whose):
    scores = Sensitivities(file_name="x", values=(0.1,), model_name=name, encoder_fingerprint=fingerprint)
    assert scores.foreign("org/one", "aa") == whose
    unknown = scores.foreign("org/one", "")
    assert unknown == ("" if name in ("", "org/one") else name)


def change_weights(source, target, factor=2.0):
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target, dirs_exist_ok=True)
    state = {name: factor * value for name, value in load_file(source / "model.safetensors").items()}
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})
