"""Every second of a run belongs to a stage, and a phase imports only what it needs."""

import subprocess
import sys

import pytest

from bert_mpq import RunConfig, run
from bert_mpq.compute.reporting import WorkClock
from bert_mpq.records.context import Stage
from bert_mpq.runs.clock import Clock
from bert_mpq.runs.session import Session

LONG = 1000.0  # seconds between two looks at the clock of a test: no stage can cover them by chance


@pytest.fixture
def looks(monkeypatch):
    """A clock that goes on by ``LONG`` at every look; what it has shown so far."""
    shown = []

    def look():
        shown.append(LONG * len(shown))
        return shown[-1]

    monkeypatch.setattr(WorkClock, "__call__", lambda self: look())
    return shown


def test_stages_measured_elsewhere_and_the_rest_of_the_time_are_one_lap(looks):
    stages = Clock()
    stages.lap("Load")
    stages.split([Stage(name="Quantize", seconds=300.0), Stage(name="Compare", seconds=400.0)])
    assert [(stage.name, stage.seconds) for stage in stages.stages] == [
        ("Load", LONG),
        ("Quantize", 300.0),
        ("Compare", 700.0),
    ]


def test_a_resumed_pass_keeps_the_seconds_before_it_was_stopped(looks):
    stages = Clock()
    stages.split([Stage(name="Compare", seconds=5000.0)])
    assert stages.take() == (Stage(name="Compare", seconds=5000.0),)
    assert stages.take() == ()


def test_no_second_of_a_run_is_in_no_stage(small_model, tmp_path, looks):
    sizes = {"calibration_size": 40, "eval_size": 70, "max_length": 16, "batch_tokens": 480}
    budget = {"clustering": "budget", "target": "6bits", "granularity": "linear", "score": "cka"}
    rest = {"metrics": ("cka", "predicted"), "bits": (8, 4), "quantizer": "rtn"}
    config = RunConfig(**sizes, **budget, **rest, model=str(small_model), output=str(tmp_path))
    session = Session()
    looks.clear()
    done = run(config, session=session)
    stages = [*done.analysis.result.stages, *done.quantization.result.stages]
    assert sum(stage.seconds for stage in stages) == pytest.approx(looks[-1], rel=1e-9)
    # Also what is done twice, and what neither phase asks for itself.
    names = [stage.name for stage in stages]
    assert names[:3] == ["Load the model", "Read and tokenize", "Check the labels"]
    assert names.count("Compare activations") == 2


def test_phase_1_imports_neither_the_training_nor_the_trainer_of_transformers(small_model, tmp_path):
    command = [
        "sensitivity",
        "--model",
        str(small_model),
        "--output",
        str(tmp_path),
        "--calibration-size",
        "40",
    ]
    command += ["--max-length", "16", "--metrics", "cka,predicted", "--device", "cpu", "--yes", "--quiet"]
    program = (
        "import sys; from bert_mpq.ui.main import main\n"
        f"code = main({command})\n"
        "print(code, [n for n in sys.modules if n.startswith(('transformers.train', 'transformers.optim',"
        " 'bert_mpq.quantization.training', 'bert_mpq.runs.phase_2', 'bert_mpq.runs.training'))])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "0 []"
