"""The wizard in a real pseudo-terminal: what is seen, and how it is left."""

import os
import shlex
import signal
import subprocess
import sys

import pytest

from tests.helpers.command import call


def test_files_of_another_model_alone_lead_back_to_the_menu(terminal, tmp_path, write_scores):
    write_scores(2)
    screen = terminal("--eval-size", "32").choose("Phase 2").wait("nothing can be chosen (2 layers, the")
    screen.wait("Run Phase 1 for this model.").choose("Exit")
    assert screen.finish() == 0


def test_the_plan_of_phase_2_shows_the_bits_of_every_layer(terminal, tmp_path, write_scores):
    write_scores()
    screen = (
        terminal("--eval-size", "32", "--bits", "16,8,4").choose("Phase 2").choose("layer_").choose("K-means")
    )
    screen.wait("16 bits: layers 4, 5").wait(" 4 bits: layers 0, 1").press("ctrl-c")
    assert screen.finish() == 130
    assert not (tmp_path / "Evaluation").exists()


def test_phase_2_is_disabled_without_a_sensitivity_file(terminal):
    screen = terminal().wait("What would you like to do?").wait("Exit")
    assert "Phase 2: Quantization & Evaluation (no sensitivity file yet)" in screen.text


def test_custom_bits_are_checked_at_the_prompt(terminal, tmp_path, write_scores):
    write_scores()
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


def test_scores_that_make_no_groups_lead_back_to_the_menu(terminal, write_scores):
    write_scores({f"layer_{index}": 0.1 * (index % 2 + 1) for index in range(6)})
    screen = terminal("--eval-size", "32").choose("Phase 2").choose("layer_").choose("K-means")
    screen.wait("E-GROUPS").wait("nothing can be chosen (3 groups, but only 2")
    screen.wait("Pick another sensitivity file").choose("Exit")
    assert screen.finish() == 0


def test_more_groups_than_scores_cannot_be_chosen(terminal, write_scores):
    write_scores({f"layer_{index}": 0.1 * (index % 3 + 1) for index in range(6)})
    screen = terminal("--eval-size", "32").choose("Phase 2").choose("layer_").choose("K-means")
    screen.wait("4 groups (fine control) (4 groups, but only 3 distinct scores)").choose("3 groups").wait(
        "Step 4 of 4"
    )


def test_answers_longer_than_the_window_are_broken_between_words(terminal):
    screen = terminal("--calibration-size", "48", columns=60).choose("Full pipeline").choose("Stratified")
    screen.wait("Similarity metrics (Esc")
    assert "? What would you like to do? Full pipeline (Phase 1 + Phase\n  2)" in screen.text
    assert "Stratified sampling\n  (recommended)" in screen.text


@pytest.mark.parametrize("columns", [60, 120])
def test_menu_and_plan_fit_other_widths(terminal, columns):
    screen = terminal("--calibration-size", "48", "--metrics", "cka", columns=columns)
    screen.choose("Phase 1").choose("Stratified").wait("Start now?")
    borders = [line for line in screen.text.splitlines() if line.startswith(("╭", "╰"))]
    assert len(borders) == 2
    assert all(line[-1] in "╮╯" for line in borders)


LONG = [
    "--calibration-size",
    "1000",
    "--batch-tokens",
    "64",
    "--sampling",
    "random",
    "--metrics",
    "cka",
    "--quantizer",
    "rtn",
]


def test_back_from_the_plan_to_the_first_step(terminal, write_scores):
    write_scores()
    screen = terminal().choose("Phase 2").choose("1k").choose("layer_").choose("Hierarchical")
    screen.choose("4 groups").choose("[16, 8, 4, 2]").wait("Start now?").press("esc")
    for step, name in (
        (5, "Bit precision assignment"),
        (4, "Number of precision groups"),
        (3, "Clustering strategy"),
        (2, "Load sensitivity file"),
        (1, "Evaluation set size"),
    ):
        screen.wait(f"Step {step} of 5  {name} (arrows").press("esc")
    screen.wait("What would you like to do? (arrows")
    # What was answered is offered again.
    screen.choose("Phase 2").choose("1k").choose("layer_").wait("Clustering strategy (arrows")


def test_a_file_deleted_while_the_list_is_open_is_noticed_and_the_list_made_anew(terminal, write_scores):
    path = write_scores()
    write_scores(6, "layer_sensitivity_BERT_IMDB_svcca.json")
    screen = terminal("--eval-size", "32").choose("Phase 2").wait("Load sensitivity file").wait("svcca.json")
    path.unlink()
    screen.choose("layer_sensitivity_BERT_IMDB_cka.json").wait("E-NOFILE").wait("pick another file.")
    screen.choose("layer_sensitivity_BERT_IMDB_svcca.json").wait("Clustering strategy (arrows")


def test_a_file_that_changes_while_the_list_is_open_is_read_again(terminal, write_scores):
    write_scores()
    write_scores(6, "layer_sensitivity_BERT_IMDB_svcca.json")
    screen = terminal("--eval-size", "32").choose("Phase 2").wait("Load sensitivity file").wait("svcca.json")
    write_scores('{"layer_0": 0.1,')
    screen.choose("layer_sensitivity_BERT_IMDB_cka.json").wait("E-JSON").wait("is not valid JSON")
    screen.wait("cka.json (broken JSON")


def test_files_that_do_not_fit_are_shown_with_the_reason(terminal, write_scores):
    write_scores()
    write_scores(2, "layer_sensitivity_other_IMDB_cka.json")
    write_scores('{"layer_0": 0.1,', "layer_sensitivity_cut_IMDB_cka.json")
    screen = terminal("--eval-size", "32").choose("Phase 2").wait("Load sensitivity file").wait("cut_IMDB")
    assert "layer_sensitivity_other_IMDB_cka.json (2 layers, the model has 6)" in screen.text
    assert "layer_sensitivity_cut_IMDB_cka.json (broken JSON" in screen.text


def test_only_broken_files_leave_phase_2_closed(terminal, write_scores):
    write_scores("[")
    screen = terminal().wait("(no sensitivity file can be read)").wait("- Compare results (no reports yet)")
    screen.choose("Exit")
    assert screen.finish() == 0


def test_settings_are_kept_and_shown(terminal, tmp_path):
    screen = terminal().choose("Settings").choose("Max length").wait("Tokens per review")
    screen.press("ctrl-u", "48", "enter").wait("Max length     48")
    screen.choose("Model").choose("Embedded classifier").wait("Model          embedded classifier")
    screen.choose("Back to the menu").wait(
        "model embedded classifier · data imdb · device cpu · max length 48"
    )
    screen.choose("Phase 1").wait("Step 1 of 3")
    assert not list(tmp_path.glob("*itivities"))


@pytest.mark.parametrize("rows", [15])
def test_a_low_window_shows_the_whole_menu(terminal, rows, write_scores):
    write_scores()
    screen = terminal(rows=rows).wait("Exit")
    shown = "\n".join(screen.screen.display)
    for entry in ("Phase 1", "Phase 2", "Full pipeline", "Compare", "Settings", "Exit", "Description"):
        assert entry in shown
    screen.choose("Phase 2").wait("Step 1 of 5").wait("Custom size").choose("1k").wait("Step 2 of 5")


@pytest.mark.parametrize("columns", [60, 80])
def test_no_color_leaves_the_colours_out(terminal, columns):
    screen = terminal(columns=columns, environment={"NO_COLOR": "1"}).wait("Exit")
    colours = {cell.fg for row in screen.screen.buffer.values() for cell in row.values()}
    assert colours == {"default"}


def test_ctrl_c_in_the_middle_of_a_run_leaves_no_file(terminal, tmp_path, small):
    screen = terminal(*small[:2], "--max-length", "64", *LONG)
    screen.choose("Phase 1").wait("Start now?").press("enter").wait("Compare activations").press("ctrl-c")
    assert screen.finish() == 130
    assert not list(tmp_path.glob("Sensitivities/*"))
    assert "Traceback" not in screen.text
    assert "Stopped." in screen.text


def test_sigterm_ends_a_run_with_143_and_no_file(terminal, tmp_path, small):
    screen = terminal(*small[:2], "--max-length", "64", *LONG)
    screen.choose("Phase 1").wait("Start now?").press("enter").wait("Compare activations")
    screen.kill(signal.SIGTERM)
    assert screen.finish() == 143
    assert not list(tmp_path.glob("Sensitivities/*"))


def test_ascii_console_and_a_repeat_command_that_gives_the_same_scores(terminal, tmp_path, small):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    screen = terminal(*small, "--output", "first", environment=ascii_only)
    screen.choose("Phase 1").choose("Custom size").wait("(up to").press("32", "enter")
    screen.choose("Random sampling").choose("CKA only").wait("Start now?").press("enter")
    screen.wait("Repeat this run:", 90).wait("Exit")
    assert "##" in screen.text
    assert screen.text.isascii()
    assert "Traceback" not in screen.text
    tail = screen.text.split("Repeat this run:")[1].split("\n\n")[0]
    # A line that ends in a blank has lost it on the screen.
    words = shlex.split("".join(line.ljust(80) for line in tail.strip("\n").split("\n")))
    assert words[0] == "bert-mpq"
    done = call(*[word.replace("first", "second") for word in words[1:]], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        next(tmp_path.glob(f"{name}/Sensitivities/layer_*.json")).read_text() for name in ("first", "second")
    )
    assert first == second


def test_two_wizards_in_one_folder_do_not_harm_each_other(terminal, tmp_path, small, review_file):
    options = [
        *small,
        "--data",
        review_file.name,
        "--calibration-size",
        "64",
        "--sampling",
        "random",
        "--metrics",
        "cka",
    ]
    screens = [terminal(*options) for _ in range(2)]
    for screen in screens:
        screen.choose("Phase 1").wait("Start now?").press("enter")
    for screen in screens:
        screen.wait("Repeat this run:", 120)
    assert len(list(tmp_path.glob("Sensitivities/run_*.json"))) == 2
    assert len(list(tmp_path.glob("Sensitivities/layer_*"))) == 2
    assert not list(tmp_path.glob("Sensitivities/.*"))


def test_a_run_on_a_cp1252_console_draws_its_bars_with_signs_that_are_in_it(
    monkeypatch, tmp_path, small, review_file
):
    monkeypatch.setenv("COLUMNS", "100")
    flags = ["--calibration-size", "48", "--metrics", "cka", "--data", review_file.name, "--yes"]
    done = call("sensitivity", *small, *flags, cwd=tmp_path, encoding="cp1252")
    assert done.returncode == 0, done.stderr
    assert "###" in done.stdout
    assert "?" not in done.stdout  # nothing had to be replaced


def test_closed_stdin_and_cp1252_are_answered_plainly(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "bert_mpq"]
    done = subprocess.run(
        f"exec {shlex.join(command)} <&-", shell=True, cwd=tmp_path, capture_output=True, env=environment
    )
    assert done.returncode == 2
    assert b"error[E-TERMINAL]: The menu needs a terminal." in done.stderr


def test_what_is_typed_during_a_run_answers_nothing_after_it(terminal, tmp_path, small, review_file):
    options = ["--calibration-size", "100", "--sampling", "random", "--metrics", "cka", "--quantizer", "rtn"]
    screen = (
        terminal(*small, "--data", review_file.name, *options)
        .choose("Phase 1")
        .wait("Start now?")
        .press("enter")
    )
    screen.wait("Load the model").press("\r\rx\r\r").wait("Repeat this run:")  # at once: the run is short
    screen.wait("What would you like to do? (arrows").press()
    assert screen.text.count("Start now?") == 1
    assert len(list(tmp_path.glob("Sensitivities/run_*.json"))) == 1
    screen.choose("Exit")
    assert screen.finish() == 0


def test_the_embedded_classifier_takes_the_place_of_the_default_once_and_for_all(terminal):
    screen = terminal("--max-length", "16").choose("Phase 1").wait("using the embedded classifier.")
    screen.wait("model embedded").wait("Step 1 of 3").press("esc")
    screen.wait("What would you like to do? (arrows").choose("Phase 1")
    screen.wait("Step 1 of 3  Calibration set size (arrows")
    assert screen.text.count("cannot be reached") == 1


def test_escape_in_a_setting_goes_back_one_question(terminal):
    screen = (
        terminal()
        .choose("Settings")
        .choose("Data")
        .choose("File, folder or archive")
        .wait("File, folder or archive")
    )
    screen.press("esc").wait("IMDB (default)").wait("From the hub, its cache").press("esc")
    screen.wait("Back to the menu")
    screen.choose("Model").choose("Hub id or folder").wait("Hub id or folder of the model").press("esc")
    screen.wait("Embedded classifier")
