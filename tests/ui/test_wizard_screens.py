"""The wizard in a real pseudo-terminal, with the real classifier on real reviews."""

import json
import shlex
import signal
import subprocess
import sys

import pytest

LAYERS = {f"layer_{index}": 0.01 * (index + 1) for index in range(6)}


def write_scores(folder, scores, name="layer_sensitivity_BERT_IMDB_cka.json"):
    folder.joinpath("Sensitivities").mkdir(exist_ok=True)
    folder.joinpath("Sensitivities", name).write_text(
        scores if isinstance(scores, str) else json.dumps(scores)
    )


def full_pipeline(screen, size="48"):
    screen.choose("Full pipeline")
    screen.wait("Calibration set size").choose("Custom size")
    screen.wait("(up to 12,450)").press(size, "enter")
    screen.choose("Stratified sampling")
    screen.choose("CKA only")
    screen.wait("Evaluation set size").choose("Custom size")
    screen.wait("(up to 12,454)").press(size, "enter")
    screen.choose("K-means")
    screen.choose("3 groups")
    screen.choose("[16, 8, 4] conservative")
    return screen.wait("Start now?")


def test_full_pipeline_from_menu_to_files(terminal, tmp_path):
    screen = full_pipeline(terminal("--max-length", "48"))
    assert "Nothing has been written yet." in screen.text
    assert not list(tmp_path.glob("*/layer_*"))
    screen.press("enter").wait("Repeat this run:", 120)
    names = sorted(path.name for path in (tmp_path / "Sensitivities").iterdir())
    assert names[:2] == ["layer_sensitivity_BERT_IMDB_cka.json", "layer_sensitivity_BERT_IMDB_cka.txt"]
    assert len(names) == 3
    assert names[2].startswith("run_")
    reports = sorted(path.suffix for path in (tmp_path / "Evaluation").iterdir())
    assert reports == [".json", ".txt"]
    scores = json.loads((tmp_path / "Sensitivities" / names[0]).read_text())
    assert list(scores) == list(LAYERS)
    assert all(0 < score < 1 for score in scores.values())
    for shown in ("Layer sensitivity, 1 - CKA", "Bit allocation", "Accuracy", "Whole model", "Done in"):
        assert shown in screen.text
    assert "Traceback" not in screen.text
    screen.choose("Exit")
    assert screen.finish() == 0


def test_the_repeat_command_gives_the_same_scores(terminal, tmp_path):
    screen = terminal("--max-length", "16", "--output", "first")
    screen.choose("Phase 1").choose("Custom size").wait("(up to").press("32", "enter")
    screen.choose("Random sampling").choose("CKA only").wait("Start now?").press("enter")
    screen.wait("Repeat this run:", 60).wait("Exit")
    tail = screen.text.split("Repeat this run:")[1].split("\n\n")[0]
    words = shlex.split(tail.replace("\n", ""))
    assert words[0] == "bert-mpq"
    again = [word.replace("first", "second") for word in words[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "bert_mpq", *again], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = (
        (tmp_path / name / "Sensitivities" / "layer_sensitivity_BERT_IMDB_cka.json").read_text()
        for name in ("first", "second")
    )
    assert first == second


def test_phase_2_offers_the_files_that_fit_and_says_why_others_do_not(terminal, tmp_path):
    write_scores(tmp_path, LAYERS)
    write_scores(tmp_path, {"layer_0": 0.1, "layer_1": 0.2}, "layer_sensitivity_other_IMDB_cka.json")
    write_scores(tmp_path, '{"layer_0": 0.1,', "layer_sensitivity_cut_IMDB_cka.json")
    screen = terminal("--eval-size", "32", "--max-length", "16")
    screen.choose("Phase 2").wait("Load sensitivity file")
    assert "layer_sensitivity_other_IMDB_cka.json (2 layers, the model has 6)" in screen.text
    assert "layer_sensitivity_cut_IMDB_cka.json (is not valid JSON" in screen.text
    screen.choose("layer_sensitivity_BERT_IMDB_cka.json").choose("Hierarchical").choose("4 groups")
    screen.wait("bits a weight; model").choose("[16, 8, 4, 2] moderate").wait("Start now?").press("enter")
    screen.wait("Repeat this run:", 60)
    assert list(tmp_path.glob("Evaluation/eval_BERT_IMDB_hierarchical_4groups_*.txt"))


def test_files_of_another_model_alone_lead_back_to_the_menu(terminal, tmp_path):
    write_scores(tmp_path, {"layer_0": 0.1, "layer_1": 0.2})
    screen = terminal("--eval-size", "32").choose("Phase 2").wait("nothing can be chosen (2 layers, the")
    screen.wait("Run Phase 1 for this model.").choose("Exit")
    assert screen.finish() == 0


def test_the_plan_of_phase_2_shows_the_bits_of_every_layer(terminal, tmp_path):
    write_scores(tmp_path, LAYERS)
    screen = (
        terminal("--eval-size", "32", "--bits", "16,8,4").choose("Phase 2").choose("layer_").choose("K-means")
    )
    screen.wait("16 bits: layers 4, 5").wait(" 4 bits: layers 0, 1").press("ctrl-c")
    assert screen.finish() == 130
    assert not (tmp_path / "Evaluation").exists()


def test_phase_2_is_disabled_without_a_sensitivity_file(terminal):
    screen = terminal().wait("What would you like to do?").wait("Exit")
    assert "Phase 2: Quantization & Evaluation (no sensitivity file yet)" in screen.text


def test_custom_bits_are_checked_at_the_prompt(terminal, tmp_path):
    write_scores(tmp_path, LAYERS)
    screen = (
        terminal("--eval-size", "32").choose("Phase 2").choose("layer_").choose("K-means").choose("3 groups")
    )
    screen.choose("Custom").wait("Bits per group")
    for typed, answer in (
        ("16,8", "3 groups need 3 numbers, you gave 2"),
        ("16,8,4.5", '"4.5" is not a whole number'),
        ("16,8,5", "5 bits is not supported"),
        ("2,4,8", "the most sensitive group comes first, so 8,4,2"),
    ):
        screen.press("ctrl-u", typed, "enter").wait(answer)
    screen.press("ctrl-u", "32,16,8", "enter").wait("bits 32, 16, 8")


def test_a_size_larger_than_the_split_is_refused_with_the_number_there_is(terminal):
    screen = terminal().choose("Phase 1").choose("Custom size").wait("(up to 12,450)")
    screen.press("25000", "enter").wait("The split has 12,450 reviews: choose 12,450 or fewer")
    screen.press("ctrl-u", "many", "enter").wait('"many" is not a whole number')


def test_pwcca_is_disabled_on_too_few_reviews(terminal):
    screen = terminal("--calibration-size", "700").choose("Phase 1").choose("Stratified").wait("PWCCA only")
    assert "PWCCA only (needs 769 reviews)" in screen.text


def test_escape_goes_back_to_the_first_step_and_to_the_menu(terminal):
    screen = terminal().choose("Phase 1").wait("Step 1 of 3").choose("5k").wait("Step 2 of 3")
    screen.choose("Stratified").wait("Step 3 of 3").press("esc").wait(
        "Step 2 of 3  Sampling strategy (arrows"
    )
    screen.press("esc").wait("Step 1 of 3  Calibration set size (arrows").press("esc")
    screen.wait("What would you like to do? (arrows")


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-d"])
def test_leaving_at_a_prompt_writes_nothing_and_exits_130(terminal, tmp_path, key):
    screen = terminal().wait("What would you like to do?").press(key)
    assert screen.finish() == 130
    assert "Stopped. No result was written." in screen.text
    assert not list(tmp_path.glob("*/*.json"))


def test_ctrl_c_in_the_middle_of_a_run_leaves_no_file(terminal, tmp_path):
    screen = terminal("--calibration-size", "2000", "--sampling", "random", "--metrics", "cka")
    screen.choose("Phase 1").wait("Start now?").press("enter").wait("Compare activations").press("ctrl-c")
    assert screen.finish() == 130
    assert not list(tmp_path.glob("Sensitivities/*"))
    assert "Traceback" not in screen.text


def test_sigterm_ends_a_run_with_143_and_no_file(terminal, tmp_path):
    screen = terminal("--calibration-size", "2000", "--sampling", "random", "--metrics", "cka")
    screen.choose("Phase 1").wait("Start now?").press("enter").wait("Compare activations").kill(
        signal.SIGTERM
    )
    assert screen.finish() == 143
    assert not list(tmp_path.glob("Sensitivities/*"))


@pytest.mark.parametrize("columns", [60, 120])
def test_menu_and_plan_fit_other_widths(terminal, columns):
    screen = terminal("--calibration-size", "48", "--metrics", "cka", columns=columns)
    screen.choose("Phase 1").choose("Stratified").wait("Start now?")
    borders = [line for line in screen.text.splitlines() if line.startswith(("╭", "╰"))]
    assert len(borders) == 2
    assert all(line[-1] in "╮╯" for line in borders)


def test_ascii_consoles_get_hashes_instead_of_blocks(terminal):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    options = ["--calibration-size", "32", "--sampling", "random", "--metrics", "cka", "--max-length", "16"]
    screen = terminal(*options, environment=ascii_only)
    screen.choose("Phase 1").wait("Start now?").press("enter").wait("Repeat this run:", 60)
    assert "##" in screen.text
    assert "Traceback" not in screen.text
