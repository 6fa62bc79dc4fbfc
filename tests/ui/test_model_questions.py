"""What the wizard asks and shows about the model: its labels, its stand-in, what was understood of it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from bert_mpq.records.reading import list_evaluations
from tests.helpers.command import call
from tests.helpers.golden import RUNS


@pytest.fixture(scope="module")
def reversed_model(tmp_path_factory, classifier, tokenizer_files):
    """The embedded classifier as a folder whose names say the opposite of the truth."""
    folder = tmp_path_factory.mktemp("models") / "reversed"
    classifier.model.save_pretrained(folder)
    for file in tokenizer_files:
        shutil.copy(file, folder)
    config = json.loads((folder / "config.json").read_text())
    names = {"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}, "label2id": {"POSITIVE": 0, "NEGATIVE": 1}}
    (folder / "config.json").write_text(json.dumps(config | names))
    return folder


def flags(model):
    words = "--eval-size 40 --max-length 64 --quantizer rtn --bits 8,4 --clustering kmeans --device cpu"
    return ["--model", str(model), *words.split()]


def test_a_script_stops_at_labels_that_look_swapped(tmp_path, reversed_model, write_scores):
    scores = write_scores()
    done = call("quantize", *flags(reversed_model), "--sensitivities", str(scores), "--yes", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-LABELS]: The labels look swapped: of 40 reviews the FP32 model is right on" in done.stderr
    assert "hint: If the opposite is meant, use --swap-labels." in done.stderr
    assert list_evaluations(tmp_path) == []


def test_the_wizard_asks_whether_labels_are_swapped_and_goes_on(
    terminal, tmp_path, reversed_model, write_scores
):
    write_scores()
    screen = terminal(*flags(reversed_model)).choose("Phase 2").choose("layer_")
    screen.wait("output 0 (POSITIVE) = positive").wait("Start now?").press("enter")
    screen.wait("E-LABELS").wait("Take the outputs to mean the opposite?").press("enter")
    screen.wait("Repeat this run:").wait("--swap-labels")
    (record,) = list_evaluations(tmp_path)
    assert record.result.config.swap_labels
    assert record.result.before.accuracy > 0.6


def test_who_says_no_is_back_at_the_menu(terminal, tmp_path, reversed_model, write_scores):
    write_scores()
    screen = terminal(*flags(reversed_model)).choose("Phase 2").choose("layer_").wait("Start now?")
    screen.press("enter").wait("Take the outputs to mean the opposite?").press("n")
    screen.wait("What would you like to do? (arrows").choose("Exit")
    assert screen.finish() == 0
    assert list_evaluations(tmp_path) == []


@pytest.fixture
def measured_before(tmp_path):
    """A folder whose last run measured the default model."""
    (tmp_path / "Evaluation").mkdir()
    record = json.loads(next(RUNS.glob("eval_*114230.json")).read_text())
    record["setting"]["model_name"] = "textattack/bert-base-uncased-imdb"
    record["config"]["model"] = "default"
    (tmp_path / "Evaluation" / "eval_before.json").write_text(json.dumps(record))


SHORT = ["--calibration-size", "8", "--max-length", "8", "--metrics", "cka", "--quantizer", "rtn"]


@pytest.mark.usefixtures("measured_before")
def test_a_script_does_not_measure_another_model_than_the_last_run(tmp_path):
    done = call("sensitivity", *SHORT, "--yes", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-NETWORK]: The last run in this folder measured textattack/bert-base-uncased-imdb" in (
        done.stderr
    )
    assert "--model embedded" in done.stderr
    assert not (tmp_path / "Sensitivities").exists()
    named = call("sensitivity", *SHORT, "--model", "embedded", "--yes", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    # Now the last run is one of the embedded classifier.
    assert call("sensitivity", *SHORT, "--yes", cwd=tmp_path).returncode == 0


@pytest.mark.usefixtures("measured_before")
def test_the_wizard_asks_before_it_measures_another_model(terminal, tmp_path):
    screen = terminal(*SHORT, "--sampling", "random").choose("Phase 1")
    screen.wait("E-NETWORK").wait("Measure the embedded classifier instead? (y/N").press("enter")
    screen.wait("What would you like to do? (arrows").choose("Phase 1")
    screen.wait("Measure the embedded classifier instead? (y/N").press("y")
    screen.wait("all-MiniLM-L6-v2 (embedded classifier)").wait("Start now?").press("ctrl-c")
    assert screen.finish() == 130


def test_the_settings_show_what_was_understood_of_a_model(terminal, reversed_model):
    screen = terminal().choose("Settings").choose("Model").choose("Hub id or folder").wait("of the model")
    screen.press(str(reversed_model), "enter").wait("6 encoder layers of 384 features, up to 512 tokens")
    screen.wait("(POSITIVE) = positive, output 1 (NEGATIVE) = negative")


def test_doctor_says_what_is_understood_of_a_model(tmp_path, reversed_model):
    found = json.loads(call("doctor", "--json", "--model", str(reversed_model), cwd=tmp_path).stdout)
    (model,) = (check for check in found["checks"] if check["section"] == "Model")
    assert (model["name"], model["state"]) == (str(reversed_model), "ok")
    assert model["value"].startswith("6 encoder layers of 384 features")
    done = call("doctor", "--model", "./nowhere", cwd=tmp_path)
    assert "There is no model folder at ./nowhere." in done.stdout
    assert "1 problem found." in done.stdout


def test_a_model_that_does_not_work_gets_no_advice(tmp_path, small_model, write_scores):
    """One that says positive whatever it reads is no better than always saying the more frequent label."""
    folder = tmp_path / "constant"
    shutil.copytree(small_model, folder)
    state = load_file(folder / "model.safetensors")
    state["classifier.bias"] = torch.tensor([-50.0, 50.0])
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    scores = write_scores(5)
    words = "--max-length 16 --eval-size 40 --bits 2,2 --quantizer rtn --yes --device cpu"
    done = call(
        "quantize", "--model", str(folder), *words.split(), "--sensitivities", str(scores), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (record,) = list_evaluations(tmp_path)
    assert not record.result.works
    assert "These figures say nothing about bits." in " ".join(done.stdout.split())
    assert "Try, in this order" not in done.stdout
