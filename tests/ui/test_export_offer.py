"""After an evaluation the menu offers to export; seen in a real terminal."""

import json
import shutil

import pytest

from tests.helpers.export_cases import reload_here


@pytest.fixture
def tiny_classifier(tmp_path, tiny_model, tokenizer_files):
    folder = tmp_path / "tiny"
    tiny_model.save_pretrained(folder)
    for file in tokenizer_files:
        shutil.copy(file, folder)
    return folder


def test_an_evaluation_is_exported_from_the_menu(terminal, tmp_path, tiny_classifier):
    (tmp_path / "Sensitivities").mkdir()
    scores = tmp_path / "Sensitivities" / "layer_sensitivity_tiny_IMDB_cka.json"
    scores.write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))
    settings = ["--eval-size", "8", "--max-length", "16", "--bits", "8,2", "--quantizer", "rtn"]
    screen = terminal("--model", str(tiny_classifier), *settings, prepare=reload_here)
    screen.choose("Phase 2").choose("layer_").choose("K-means").wait("Start now?").press("enter")
    screen.choose("Export the quantized model").choose("compressed-tensors")
    screen.wait("Folder to make").press("ctrl-u", "Sensitivities").wait("Folder to make").press("enter")
    screen.wait("is not empty; nothing is overwritten").press("ctrl-u", "small", "enter")
    screen.wait("Reloaded weights", 120).wait("identical").wait("--format compressed-tensors --to small")
    screen.wait("Measure speed and memory here").press("enter")
    assert (tmp_path / "small" / "model.safetensors").is_file()
    assert "Traceback" not in screen.text
    screen.choose("Try a review").wait("A review").press("A wonderful film.", "enter")
    screen.wait("probability of positive", 60).wait("points").wait("A review").press("esc")
    screen.wait("What next?").press("esc").wait("What would you like to do?").press("ctrl-c")
    assert screen.finish() == 130
