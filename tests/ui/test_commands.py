"""The scripted commands: no terminal, results on stdout, progress on stderr, exit codes."""

import json
import re

import pytest

from tests.helpers.command import call

SMALL = ["--model", "embedded", "--max-length", "16", "--quantizer", "rtn", "--yes"]
LAYERS = {f"layer_{index}": 0.01 * (index + 1) for index in range(6)}


@pytest.fixture
def scores(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(LAYERS))
    return path


@pytest.fixture
def quick(small):
    """The flags of a run that takes no time."""
    return [*small, "--quantizer", "rtn", "--yes"]


def test_a_full_run_prints_results_on_stdout_and_progress_on_stderr(tmp_path, quick):
    sizes = ["--calibration-size", "48", "--eval-size", "48", "--metrics", "cka,kl", "--bits", "16,8,4"]
    done = call("run", *quick, *sizes, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Layer sensitivity, 1 - CKA" in done.stdout
    assert "Layer sensitivity, KL of the logits" in done.stdout
    repeat = " ".join(done.stdout.partition("Repeat this run:")[2].split())
    assert repeat.startswith(f"bert-mpq run --model {quick[1]} --output out")
    assert "Compare activations" in done.stderr
    assert "Compare activations" not in done.stdout
    files = {path.suffix for path in (tmp_path / "out" / "Evaluation").iterdir()}
    assert files == {".txt", ".json"}
    records = [*tmp_path.glob("out/Sensitivities/run_*.json"), *tmp_path.glob("out/Evaluation/*.json")]
    first, second = (json.loads(path.read_text()) for path in records)
    assert (first["phase"], second["phase"]) == ("sensitivity", "quantize")
    assert len(first["kl"]) == 5
    assert second["before"]["size"] == 48


def test_with_every_layer_at_32_bits_nothing_changes(tmp_path, quick):
    (tmp_path / "five.json").write_text(json.dumps({name: LAYERS[name] for name in [*LAYERS][:5]}))
    flags = ["--sensitivities", "five.json", "--eval-size", "64", "--bits", "32,32,32"]
    done = call("quantize", *quick, *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(next(tmp_path.glob("Evaluation/*.json")).read_text())
    before, after = record["before"], record["after"]
    del before["seconds"], after["seconds"]
    assert before == after
    assert record["agreement"] == 1.0
    assert record["sizes"]["ratio"] == 1.0


def test_a_configuration_file_gives_the_same_run_as_its_flags(tmp_path, quick):
    flags = [*quick, "--calibration-size", "32", "--metrics", "cka", "--seed", "7"]
    assert call("sensitivity", *flags, "--output", "a", cwd=tmp_path).returncode == 0
    record = next(tmp_path.glob("a/Sensitivities/run_*.json"))
    done = call("sensitivity", "--config", str(record), "--output", "b", "--yes", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    name = "Sensitivities/layer_sensitivity_small-bert_IMDB_cka.json"
    assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


def test_a_run_writes_nothing_into_the_folder_it_is_started_in(tmp_path, quick):
    done = call(
        "sensitivity", *quick, "--calibration-size", "16", "--metrics", "cka", "--output", "o", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"o", "cache"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--bits", "2,4,8"], 2, "error[E-BITS-ORDER]: 2,4,8 rises"),
        (["run", "--bits", "8,5,4"], 2, "error[E-BITS-VALUE]: 5 bits is not supported"),
        (["run", "--bits", "8,4.5"], 2, 'error[E-BITS-INT]: "4.5" is not a whole number'),
        (["run", "--metrics", "ssim"], 2, "error[E-CONFIG]"),
        (["run", "--no-such-flag"], 2, "error[E-CONFIG]: Unrecognized arguments: --no-such-flag."),
        (["quantize"], 1, "error[E-NOFILE]: Phase 2 needs a sensitivity file."),
        (
            ["quantize", "--sensitivities", "gone.json"],
            1,
            "error[E-NOFILE]: No sensitivity file at gone.json.",
        ),
        (
            ["sensitivity", "--calibration-size", "25000"],
            1,
            "25,000 asked, but the split has 12,450 reviews.",
        ),
        (["sensitivity", "--calibration-size", "700"], 1, "PWCCA needs at least 769 reviews for this model"),
        (["sensitivity", "--device", "mps", "--calibration-size", "900"], 1, "error[E-DEVICE]"),
        (
            ["run", "--bits", "16,16,8,8,4,4,2"],
            1,
            "error[E-GROUPS]: 7 groups, but the model has only 6 layers.",
        ),
        (["run", "--data", "gone.csv"], 1, "error[E-NOFILE]: No data at gone.csv."),
        (["run", "--config", "gone.json"], 1, "error[E-NOFILE]"),
        (["run", "--max-length", "600"], 1, "--max-length 600, but the model reads 512 tokens at most."),
        (
            ["sensitivity", "--metrics", "kl", "--scope", "cumulative"],
            2,
            "only --scope propagated has logits",
        ),
        ([], 2, "error[E-TERMINAL]: The menu needs a terminal."),
    ],
)
def test_mistakes_get_one_sentence_and_the_right_exit_code(tmp_path, arguments, code, said):
    done = call(*arguments, *(["--model", "embedded"] if arguments else []), cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*.*") if "cache" not in path.parts]


def test_a_named_model_never_falls_back(tmp_path):
    done = call("sensitivity", "--model", "someone/some-bert", "--yes", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "error[E-NETWORK]: Cannot reach the Hugging Face hub and someone/some-bert is not in" in done.stderr
    )


def test_the_default_model_falls_back_with_one_plain_line(tmp_path):
    flags = [
        "--calibration-size",
        "16",
        "--metrics",
        "cka",
        "--max-length",
        "16",
        "--quantizer",
        "rtn",
        "--yes",
    ]
    done = call("sensitivity", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "using the embedded classifier." in done.stderr.splitlines()[0]
    assert "Repeat this run:\nbert-mpq sensitivity --model embedded " in done.stdout


def test_wrong_numbers_of_layers_are_refused_before_the_run(tmp_path, scores):
    scores.write_text(json.dumps({"layer_0": 0.1, "layer_1": 0.2}))
    done = call("quantize", *SMALL, "--sensitivities", str(scores), cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-LAYERS]: The file has 2 layers, the model has 6." in done.stderr


def test_scores_that_are_not_valid_end_the_run_but_keep_its_record(tmp_path):
    done = call("sensitivity", *SMALL, "--calibration-size", "24", "--metrics", "svcca,cka", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-SCORE]: layer_0 has no valid SVCCA score (saturated" in done.stderr
    kept = sorted(path.name for path in (tmp_path / "Sensitivities").iterdir())
    assert kept[:2] == ["layer_sensitivity_BERT_IMDB_cka.json", "layer_sensitivity_BERT_IMDB_cka.txt"]
    record = json.loads((tmp_path / "Sensitivities" / kept[2]).read_text())
    assert record["scores"][0]["layers"][0]["status"] == "saturated"


def test_a_full_run_says_which_metric_decides_and_why(tmp_path, quick):
    flags = [*quick, "--calibration-size", "120", "--eval-size", "16"]
    done = call("run", *flags, "--metrics", "pwcca,cka", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    why = r"^CKA decides: of those with enough reviews it orders the layers most like the\s+measured damage"
    said = re.search(why, done.stdout, re.M)
    assert said, done.stdout
    (record,) = tmp_path.glob("Evaluation/*.json")
    assert json.loads(record.read_text())["sensitivities"]["metric"] == "cka"


def test_a_metric_that_is_not_valid_does_not_stop_a_run_that_another_decides(tmp_path):
    sizes = ["--calibration-size", "24", "--eval-size", "24", "--metrics", "cka,svcca"]
    done = call("run", *SMALL, *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SVCCA, layer_0: 24 reviews are too few for" in done.stdout
    assert not list(tmp_path.glob("Sensitivities/*svcca*"))
    assert len(list(tmp_path.glob("Evaluation/*.txt"))) == 1


def test_planning_makes_no_folder(tmp_path):
    done = call("sensitivity", *SMALL, "--calibration-size", "3", "--metrics", "cka", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[E-DATA-SIZE]: 3 reviews are too few." in done.stderr
    assert not (tmp_path / "Sensitivities").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    done = call(
        "sensitivity",
        *SMALL,
        "--calibration-size",
        "16",
        "--metrics",
        "cka",
        "--output",
        "file",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "error[E-READONLY]: Cannot write to file/Sensitivities/" in done.stderr
    assert "Tokenize" not in done.stderr


def test_the_first_prompt_shows_without_the_heavy_libraries(terminal, tmp_path):
    code = (
        "import atexit, pathlib, sys;"
        "atexit.register(lambda: pathlib.Path('modules').write_text(' '.join(sys.modules)));"
        "from bert_mpq.__main__ import main; sys.exit(main())"
    )
    screen = terminal(program=["-c", code]).wait("What would you like to do?")
    assert screen.press("ctrl-c").finish() == 130
    heavy = {"torch", "transformers", "datasets", "huggingface_hub", "sklearn", "scipy", "numpy", "jinja2"}
    imported = (tmp_path / "modules").read_text().split()
    assert "bert_mpq.ui.wizard.menu" in imported
    assert heavy & {*imported} == set()


def test_a_notebook_is_refused_and_a_dumb_terminal_is_not(monkeypatch):
    import asyncio

    from bert_mpq.settings.errors import UsageError
    from bert_mpq.ui import console

    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    console.require_terminal()
    assert console.is_accessible()
    monkeypatch.setenv("TERM", "xterm")

    async def notebook():
        console.require_terminal()

    with pytest.raises(UsageError, match="event loop"):
        asyncio.run(notebook())
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UsageError, match="needs a terminal"):
        console.require_terminal()
