"""Every command with ``--json``: one document of its schema, on stdout alone; its errors on stderr alone."""

import dataclasses
import json
import os
import re
import shutil

import pytest

from bert_mpq.runs.dry_run import DryRun
from bert_mpq.settings.errors import ERROR_CODES, MpqError
from bert_mpq.ui.commands import parser
from bert_mpq.ui.commands.parser import COMMANDS
from bert_mpq.ui.documents import DRY_RUN, schema_of
from bert_mpq.ui.failures import VERSION, Failure
from tests.helpers.command import call
from tests.helpers.golden import RUNS
from tests.helpers.json_schema import problems
from tests.ui.test_plan_command import SCORES

ERROR = schema_of("error", VERSION, Failure)
BY_NAME = {command.name: command for command in COMMANDS}
SIZES = ["--max-length", "16", "--quantizer", "rtn", "--data", "reviews.csv"]
SIZES += ["--metrics", "cka", "--calibration-size", "24"]
EVALUATION = ["--eval-size", "24", "--bits", "16,8,4"]
PHASE_2 = ["--max-length", "16", "--quantizer", "rtn", "--data", "reviews.csv", *EVALUATION]
FILE = ["--sensitivities", "Sensitivities/layer_sensitivity_BERT_IMDB_cka.json"]
# Of each command: what it is given, and mistakes with their codes. MODEL stands for a small model.
SUCCESS = {
    "sensitivity": ["MODEL", *SIZES],
    "quantize": ["MODEL", *PHASE_2, *FILE],
    "run": ["MODEL", *SIZES, *EVALUATION],
    "plan": ["--sensitivities", "Sensitivities/widths_x.json", "--target", "4.3bits"],
    "validate": ["MODEL", *SIZES, "--eval-size", "24"],
    "sweep": ["MODEL", *SIZES[:6], "--calibration-size", "60", "--eval-size", "24"],
    "compare": ["--output", "done"],
    "export": ["--evaluation", "done/Evaluation/RUN", "--to", "exported"],
    "classify": ["MODEL", "A wonderful film.", "Dull."],
    "doctor": [],
    "help": ["budget"],
    "completion": ["bash"],
}
WRONG_MODEL = (["--model", "someone/bert"], "E-NETWORK")
MISTAKES = {
    "sensitivity": [
        (["--model", "/nowhere/bert"], "E-MODEL"),
        WRONG_MODEL,
        (["MODEL", "--calibration-size", "25000"], "E-DATA-SIZE"),
        (["MODEL", "--data", "gone.csv"], "E-NOFILE"),
        (["MODEL", "--output", "reviews.csv", *SIZES], "E-READONLY"),
        (["MODEL", "--device", "mps", *SIZES], "E-DEVICE"),
        (["MODEL", *SIZES, "--metrics", "svcca"], "E-SCORE"),
        (["--max-length", "many"], "E-CONFIG"),
        (["--no-such-flag"], "E-CONFIG"),
    ],
    "quantize": [
        ([], "E-NOFILE"),
        (["MODEL", "--sensitivities", "reviews.csv"], "E-JSON"),
        (["MODEL", "--sensitivities", "twelve.json"], "E-LAYERS"),
        (["MODEL", *FILE, "--bits", "16,16,8,8,4,4,2"], "E-GROUPS"),
        (["--bits", "16,x"], "E-BITS-INT"),
        ([*FILE, "--model", "someone/bert"], "E-NETWORK"),
    ],
    "run": [
        (["--bits", "2,4,8"], "E-BITS-ORDER"),
        (["--bits", "8,5,4"], "E-BITS-VALUE"),
        (["--clustering", "budget"], "E-BUDGET"),
        (["--config", "gone.json"], "E-NOFILE"),
        WRONG_MODEL,
    ],
    "plan": [
        ([], "E-BUDGET"),
        (["--target", "4bits", "--sensitivities", "gone.json"], "E-NOFILE"),
        ([*SUCCESS["plan"], "--score", "cka"], "E-SCORE"),
    ],
    "validate": [WRONG_MODEL, (["MODEL", "--calibration-size", "25000"], "E-DATA-SIZE")],
    "sweep": [(["--clustering", "budget", "--target", "4bits"], "E-CONFIG"), WRONG_MODEL],
    "compare": [(["--output", "nowhere"], "E-NOFILE"), (["--output", "done", "--plot", "a.gif"], "E-CONFIG")],
    "export": [
        ([], "E-CONFIG"),
        (["--evaluation", "gone.json", "--to", "x"], "E-NOFILE"),
        (["--evaluation", "twelve.json", "--to", "x"], "E-JSON"),
        (["--evaluation", "done/Evaluation/RUN", "--to", "done"], "E-EXPORT"),
    ],
    "classify": [(["MODEL", "--data", "gone.csv"], "E-NOFILE"), ([], "E-CONFIG")],
    "bench": [(["nowhere"], "E-EXPORT"), (["nowhere", "--throughput", "16"], "E-CONFIG")],
    "doctor": [(["--sampling", "random"], "E-CONFIG")],
    "help": [(["bits"], "E-TOPIC")],
    "completion": [(["fish"], "E-CONFIG")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_model, imdb):
    """A folder with reviews, scores at one width and at several, and evaluations that were made."""
    from bert_mpq.records.width_scores import write_width_scores

    folder = tmp_path_factory.mktemp("json")
    reviews = [(text, label) for half in imdb.values() for text, label in _some(half)]
    lines = ["text,label", *(f'"{text}",{label}' for text, label in reviews)]
    (folder / "reviews.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "twelve.json").write_text(json.dumps({f"layer_{index}": 0.1 for index in range(12)}))
    (folder / "Sensitivities").mkdir()
    scores = {f"layer_{index}": 0.01 * (index + 1) for index in range(5)}
    (folder / FILE[1]).write_text(json.dumps(scores))
    write_width_scores(folder / "Sensitivities", SCORES, "x")
    shutil.copytree(RUNS, folder / "done" / "Evaluation")
    ready = call(
        "quantize",
        *_given(["MODEL", *PHASE_2, *FILE, "--output", "done"], folder, small_model),
        "--quiet",
        "--yes",
        cwd=folder,
    )
    assert ready.returncode == 0, ready.stderr
    return folder


def _some(half):
    chosen = half.take([*range(30), *range(-30, 0)])  # sorted by label
    return zip((text.replace('"', "'") for text in chosen.texts), chosen.labels, strict=True)


def _given(words, folder, small_model):
    """Replace what stands for a path."""
    newest = max(folder.glob("done/Evaluation/eval_*.json"), key=os.path.getmtime, default=folder)
    stand_ins = {"MODEL": ["--model", str(small_model)], "done/Evaluation/RUN": [str(newest)]}
    return [given for word in words for given in stand_ins.get(word, [word])]


STARTING = [name for name, command in BY_NAME.items() if command.starts]
WRITING = [name for name in STARTING if name not in ("plan", "export")]


@pytest.mark.parametrize("name", STARTING)
def test_a_dry_run_says_what_the_run_would_write_and_writes_nothing(name, folder, small_model):
    words = [*_given(SUCCESS[name], folder, small_model), *(["--output", "dry"] if name in WRITING else [])]
    before = {*folder.rglob("*")}
    done = call(name, *words, "--dry-run", "--json", cwd=folder)
    assert (done.returncode, done.stderr, {*folder.rglob("*")}) == (0, "", before)
    content = json.loads(done.stdout)
    if name == "plan":  # from a file it takes no time
        assert problems(content, BY_NAME[name].schema) == []
        return
    assert problems(content, schema_of(*DRY_RUN, DryRun)) == []
    assert content["command"].startswith(f"bert-mpq {name} ")
    shown = call(name, *words, "--dry-run", cwd=folder).stdout
    assert all(file in shown.replace("\n", "") for file in content["files"])
    if name in WRITING:
        assert call(name, *words, "--quiet", "--yes", cwd=folder).returncode == 0
        written = {str(path.relative_to(folder)) for path in folder.glob("dry/*/[!.]*")}
        shutil.rmtree(folder / "dry")
        assert {_timeless(each) for each in written} == {*content["files"]}


def _timeless(name):
    return re.sub(r"budget_\d+", "budget_N", re.sub(r"\d{8}_\d{6}(_\d+)?", "TIME", name))


@pytest.mark.usefixtures("reloads_here")
@pytest.mark.parametrize(
    "name", [name for name in BY_NAME if name != "bench"]
)  # slow: see tests/runs/test_bench.py
def test_success_is_one_document_of_the_schema_and_nothing_else(name, folder, small_model):
    done = call(name, *_given(SUCCESS[name], folder, small_model), "--json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    content = json.loads(done.stdout)
    assert (content["schema"], content["version"]) == (f"bert-mpq/{name}", BY_NAME[name].version)
    assert problems(content, BY_NAME[name].schema) == []


@pytest.mark.parametrize("name", BY_NAME)
def test_mistakes_are_one_document_on_stderr(name, folder, small_model):
    for words, code in MISTAKES[name]:
        done = call(name, *_given(words, folder, small_model), "--json", cwd=folder)
        content = json.loads(done.stderr)
        assert problems(content, ERROR) == []
        assert (done.stdout, content["code"]) == ("", code), words
        assert done.returncode == content["exit_code"] != 0
        assert content["message"].endswith(".")


@pytest.mark.parametrize("name", BY_NAME)
def test_whatever_ends_a_command_is_told_alike(name, folder, small_model, monkeypatch):
    """Every code there is, and what has none; a command can add none that is told otherwise."""
    ends = [(MpqError(code, "It is so.", "Do that."), code, 1) for code in ERROR_CODES]
    ends += [(KeyboardInterrupt(), "stopped", 130), (ValueError("oh"), "unexpected", 1)]
    for error, code, exit_code in ends:

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(parser, "COMMANDS", (dataclasses.replace(BY_NAME[name], run=fail),))
        words = _given(SUCCESS.get(name, ["a folder"]), folder, small_model)
        done = call(name, *words, "--json", cwd=folder)
        content = json.loads(done.stderr)
        assert problems(content, ERROR) == []
        assert (done.returncode, done.stdout, content["code"]) == (exit_code, "", code)
        assert content["exit_code"] == exit_code


def test_the_traceback_is_a_part_of_the_document(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("oh")

    monkeypatch.setattr(parser, "COMMANDS", (dataclasses.replace(BY_NAME["doctor"], run=fail),))
    said = json.loads(call("doctor", "--json", "-v", cwd=tmp_path).stderr)
    assert said["message"] == "unexpected ValueError: oh"
    assert said["traceback"].splitlines()[-1] == "ValueError: oh"


def test_the_menu_speaks_no_json(tmp_path):
    done = call("--json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stderr)["code"]) == (2, "E-CONFIG")


@pytest.mark.parametrize("name", BY_NAME)
def test_the_schema_is_printed_without_what_the_command_needs(name, tmp_path):
    done = call(name, "--schema", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == BY_NAME[name].schema


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"schema": "bert-mpq/doctor", "version": 2, "checks": []}, "$.version is 2, not 1"),
        ({"schema": "bert-mpq/doctor", "version": 1}, "$.checks is missing"),
        ({"schema": "bert-mpq/doctor", "version": 1, "checks": 3}, "$.checks is 3, no ['array']"),
        ({"schema": "bert-mpq/doctor", "version": 1, "checks": [], "more": 1}, "$.more is unknown"),
        ({"schema": "bert-mpq/doctor", "version": 1, "checks": [{}]}, "$.checks[0].section is missing"),
    ],
)
def test_the_schemas_refuse_other_documents(value, said):
    assert said in problems(value, BY_NAME["doctor"].schema)
