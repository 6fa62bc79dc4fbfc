"""kill -9 at random moments: every file is whole, old or new, and the same command finishes the run.

The long soak, not part of the suite: ``pytest -m soak tests/test_kills.py``.
"""

import contextlib
import json
import os
import random
import signal
import time

import pytest

from bert_mpq import RunConfig
from bert_mpq.records.sensitivity_file import read_sensitivities
from tests.helpers.forked import started

PHASES = {"calibration_size": 80, "eval_size": 60, "max_length": 24, "metrics": ("cka", "svcca")}


def forked(child):
    """Fork, and let the child call ``child``; return its process id."""
    process = os.fork()
    if not process:
        with contextlib.suppress(BaseException):
            child()
            os._exit(0)
        os._exit(99)
    return process


def killed(child, wait):
    """Fork, let the child call ``child``, kill it after ``wait`` seconds; return whether it was too late."""
    process = forked(child)
    time.sleep(wait)
    os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def write_for_ever(folder):
    from bert_mpq.records.files import write_atomic, write_new, write_stream

    for number in range(10**6):
        text = json.dumps([number] * (number % 5000))
        write_atomic(folder / "scores.json", text)
        write_new(folder, "run", ".json", text)
        write_stream(folder / "large.json", lambda file, text=text: file.write(text.encode()))


def kill_writers(folder, kills, seed):
    chance = random.Random(seed)
    for _ in range(kills):
        assert not killed(lambda: write_for_ever(folder), chance.uniform(0, 0.03))
        for path in folder.glob("*.json"):
            numbers = json.loads(path.read_text())  # raises on an empty or torn file
            assert len(set(numbers)) <= 1
            if path.name.startswith("run"):
                path.unlink()


def test_100_kills_during_writes_leave_no_torn_file(tmp_path):
    process = started(kill_writers, tmp_path, 100, 0, errors=tmp_path / "errors")
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "errors").read_text()


def run_forked(child):
    """Fork, let the child call ``child`` to its end; return the seconds it took."""
    began = time.perf_counter()
    assert os.waitstatus_to_exitcode(os.waitpid(forked(child), 0)[1]) == 0
    return time.perf_counter() - began


def kill_runs(config, folder, kills, seed):
    """Kill full runs into one folder, look at every file after each, then let the last one finish."""
    from bert_mpq import run
    from bert_mpq.compute.reporting import Silent
    from bert_mpq.runs.job import Job
    from bert_mpq.runs.make_plan import plan_full_run
    from bert_mpq.runs.session import Session

    session = Session(checkpoint_every=0.0)  # the forks inherit it: model and data are loaded once
    plan = plan_full_run(config)
    job = Job(plan=plan, reporter=Silent(), session=session)
    for split, size in plan.reviews.items():
        job.draw(split, size)

    def run_into(name):
        return lambda: run(config.replace(output=str(folder / name)), session=session)

    seconds = run_forked(run_into("whole"))
    chance = random.Random(seed)
    for _ in range(kills):
        killed(run_into("killed"), chance.uniform(0, seconds))
        look(folder / "killed", folder / "whole")
    run_forked(run_into("killed"))
    assert figures(folder / "killed") == figures(folder / "whole")
    assert not list(folder.rglob(".*checkpoint*"))


def keys(path):
    return [line.split(":")[0] for line in path.read_text().splitlines() if not line.startswith("timestamp")]


def look(folder, whole):
    """Read every artifact; a torn one raises."""
    for path in folder.glob("Sensitivities/layer_*.json"):
        assert len(read_sensitivities(path).values) == 2
    for path in folder.glob("*/*.json"):
        json.loads(path.read_text())
    for path in folder.glob("Sensitivities/*.txt"):
        assert path.read_text().splitlines()[-1].startswith("layer_1\t")
    (complete,) = whole.glob("Evaluation/*.txt")
    for path in folder.glob("Evaluation/*.txt"):
        assert len(keys(path)) == len(keys(complete))


def figures(folder):
    """Return the scores, and the last evaluation without its times."""
    scores = {path.name: path.read_text() for path in folder.glob("Sensitivities/layer_*.json")}
    record = json.loads(max(folder.glob("Evaluation/*.json"), key=os.path.getmtime).read_text())
    evaluations = [{**record[key], "seconds": 0} for key in ("before", "after")]
    return scores, evaluations, record["agreement"]


@pytest.fixture
def config(model_folder):
    return RunConfig(**PHASES, model=str(model_folder), bits=(8, 4), quantizer="rtn", batch_tokens=240)


@pytest.mark.parametrize("kills", [20, pytest.param(100, marks=pytest.mark.soak)])
def test_kills_at_random_moments_of_a_run_lose_and_tear_nothing(config, tmp_path, kills):
    process = started(kill_runs, config, tmp_path, kills, kills, errors=tmp_path / "errors")
    process.join(280)
    process.kill()
    process.join()
    assert process.exitcode == 0, (tmp_path / "errors").read_text()


def interrupted_command(config, number):
    """Run the command; it gets a signal in its third forward pass, with a checkpoint after each."""
    from bert_mpq.compute.checkpoints import Checkpoint
    from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
    from bert_mpq.settings import flags
    from bert_mpq.ui.main import main

    whole, calls = ProbedClassifier.forward, []

    def forward(self, **inputs):
        calls.append(self)
        if len(calls) == 3:
            os.kill(os.getpid(), number)
        return whole(self, **inputs)

    ProbedClassifier.forward, Checkpoint.due = forward, property(lambda self: True)
    return main([*flags.command("sensitivity", config), "--yes"])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_ctrl_c_sigterm_and_sighup_keep_the_checkpoint_and_say_so(config, tmp_path, number, code):
    config = config.replace(output=str(tmp_path))
    process = started(interrupted_command, config, number, errors=tmp_path / "errors")
    process.join(60)
    assert process.exitcode == code
    told = (tmp_path / "errors").read_text()
    assert "The progress up to " in told
    assert "is kept in" in told
    assert len(list(tmp_path.glob("Sensitivities/.checkpoint_*"))) == 1
