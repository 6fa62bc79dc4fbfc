"""Several gloo processes on one CPU: the results of one, one voice, and no artifact when one of them dies."""

import json
import os
import pickle
import re
import signal
from pathlib import Path

import pytest

from bert_mpq import RunConfig, run
from bert_mpq.ui.main import main
from tests.helpers.forked import ranks

SIZES = {"calibration_size": 90, "eval_size": 70, "max_length": 24}
METRICS = ("pwcca", "svcca", "cka", "kl", "predicted")


@pytest.fixture(scope="module")
def config(tiny_folder):
    # 24 reviews of 24 tokens: 7 batches a phase, so that neither 2 nor 3 processes have equal shares.
    rest = {"metrics": METRICS, "bits": (8, 4), "quantizer": "rtn", "batch_tokens": 240}
    return RunConfig(**SIZES, **rest, model=str(tiny_folder))


@pytest.fixture(scope="module")
def one(config, tmp_path_factory):
    return run(config.replace(output=str(tmp_path_factory.mktemp("one"))))


def save_run(config, folder):
    """Run both phases and leave the result; called in every process."""
    result = run(config)
    folder.joinpath(f"result_{os.environ['RANK']}").write_bytes(pickle.dumps(result))


def runs_of(size, config, folder):
    codes, errors = ranks(size, save_run, config.replace(output=str(folder)), folder, folder=folder)
    assert codes == [0] * size, errors
    return [pickle.loads(folder.joinpath(f"result_{rank}").read_bytes()) for rank in range(size)]


def assert_same(several, one, rel=1e-12):
    first, second = several.analysis.result, one.analysis.result
    for mine, theirs in zip(first.scores, second.scores, strict=True):
        assert mine.values == pytest.approx(theirs.values, rel=rel)
    assert first.kl == pytest.approx(second.kl, rel=rel)
    before, after = several.quantization.result, one.quantization.result
    for mine, theirs in ((before.before, after.before), (before.after, after.after)):
        assert (mine.accuracy, mine.precision, mine.recall, mine.f1, mine.correct, mine.size) == (
            (theirs.accuracy, theirs.precision, theirs.recall, theirs.f1, theirs.correct, theirs.size)
        )
        assert mine.loss == pytest.approx(theirs.loss, rel=rel)
    assert before.agreement == after.agreement


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_find_what_one_finds_and_process_0_writes(size, config, one, tmp_path):
    results = runs_of(size, config, tmp_path)
    written = {path for folder in ("Sensitivities", "Evaluation") for path in (tmp_path / folder).iterdir()}
    assert len(written) == len({*one.analysis.files, *one.quantization.files})
    for result in results:
        assert written == {*result.analysis.files, *result.quantization.files}
        assert_same(result, one)
        assert result.analysis.result.setting.processes == size
        sample = result.analysis.result.sample
        assert sample.largest_batch == one.analysis.result.sample.largest_batch


def digest_of_weights(model, folder):
    """Leave the digest of weights that were rounded differently on every process."""
    import torch

    from bert_mpq.compute import distributed
    from bert_mpq.compute.fingerprint import weights_fingerprint

    distributed.join()
    with torch.no_grad():
        model.classifier.weight.add_(1e-7 * distributed.rank())
    distributed.use_weights_of_first(model)
    folder.joinpath(f"result_{os.environ['RANK']}").write_text(weights_fingerprint(model.state_dict()))


def test_all_processes_hold_the_weights_of_process_0(tiny_model, tmp_path):
    from bert_mpq.compute.fingerprint import weights_fingerprint

    codes, errors = ranks(3, digest_of_weights, tiny_model, tmp_path, folder=tmp_path)
    assert codes == [0, 0, 0], errors
    digests = {tmp_path.joinpath(f"result_{rank}").read_text() for rank in range(3)}
    assert digests == {weights_fingerprint(tiny_model.state_dict())}


def test_processes_without_any_batch_take_part(config, one, tmp_path):
    small = config.replace(calibration_size=40, eval_size=4, batch_tokens=4096)
    single = run(small.replace(output=str(tmp_path / "one")))
    for result in runs_of(3, small, tmp_path):
        assert_same(result, single)


def run_with_a_death(config, folder):
    """As ``save_run``, but process 1 is killed in its third forward pass; a checkpoint after each batch."""
    from bert_mpq.runs.session import Session
    from bert_mpq.sensitivity.probed_classifier import ProbedClassifier

    whole, calls = ProbedClassifier.forward, []

    def forward(self, **inputs):
        calls.append(self)
        if os.environ["RANK"] == "1" and len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, **inputs)

    ProbedClassifier.forward = forward
    run(config, session=Session(checkpoint_every=0.0))


def resumed_run(config, folder):
    from bert_mpq.compute.reporting import Lines

    folder.joinpath(f"result_{os.environ['RANK']}").write_bytes(pickle.dumps(run(config, Lines())))


@pytest.mark.parametrize("lost", [None, 0, 1])
def test_processes_that_were_stopped_go_on_together(config, one, tmp_path, lost):
    config = config.replace(output=str(tmp_path))
    ranks(2, run_with_a_death, config, tmp_path, folder=tmp_path)
    checkpoints = sorted(tmp_path.glob("Sensitivities/.checkpoint_*"))
    assert len(checkpoints) == 2
    if lost is not None:  # as when a host comes back with an empty disk
        checkpoints[lost].unlink()
    codes, errors = ranks(2, resumed_run, config, tmp_path, folder=tmp_path)
    assert codes == [0, 0], errors
    assert ["going on from a checkpoint" in text for text in errors] == [lost != 0, lost != 1]
    assert ("it does not belong to that of process 0" in errors[1]) == (lost == 0)
    for rank in range(2):
        assert_same(pickle.loads(tmp_path.joinpath(f"result_{rank}").read_bytes()), one)
    assert not list(tmp_path.glob("Sensitivities/.*"))


def torchrun(config, *more):
    """Return what the real launcher gives for two processes."""
    import subprocess
    import sys

    from bert_mpq.settings import flags

    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *more]
    command += ["-m", "bert_mpq", *flags.command("run", config), "--yes"]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_torchrun_runs_the_command_and_one_process_prints(config, one, tmp_path):
    config = config.replace(output=str(tmp_path), metrics=("cka",))
    done = torchrun(config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Repeat this run:") == 1
    assert done.stderr.count("Compare activations ...") == 1
    (path,) = tmp_path.glob("Sensitivities/layer_*_cka.json")
    expected = one.analysis.result.scores[METRICS.index("cka")].values
    assert list(json.loads(path.read_text()).values()) == pytest.approx(expected, rel=1e-12)


def command(config):
    from bert_mpq.settings import flags

    return main([*flags.command("run", config), "--yes"])


def command_with_a_death(config, stage):
    """Process 1 is killed at its second forward pass of a phase; the look at the labels is of none."""
    from bert_mpq.compute.evaluate import Logits
    from bert_mpq.sensitivity.probed_classifier import ProbedClassifier

    module = {"sensitivity": ProbedClassifier, "quantize": Logits}[stage]
    whole, calls = module.forward, []

    def forward(self, **inputs):
        if stage == "sensitivity" or list(Path(config.output).glob("Sensitivities/*.json")):
            calls.append(self)
        if os.environ["RANK"] == "1" and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, **inputs)

    module.forward = forward
    return command(config)


def test_a_process_that_dies_ends_the_others_with_a_message_and_no_artifact(config, tmp_path):
    config = config.replace(output=str(tmp_path))
    codes, errors = ranks(3, command_with_a_death, config, "sensitivity", folder=tmp_path)
    assert codes == [1, -signal.SIGKILL, 1]
    told = [text for text in errors if "error[" in text]
    assert len(told) == 1
    said = r"error\[E-DISTRIBUTED\]: Another process of this run has ended or cannot be reached \(.+\)\."
    assert re.search(said, told[0], re.DOTALL)
    assert "Traceback" not in "".join(errors)
    assert not [*tmp_path.rglob("*.json"), *tmp_path.rglob("*.txt")]


def test_a_death_in_phase_2_keeps_phase_1_and_writes_no_report(config, tmp_path):
    config = config.replace(output=str(tmp_path))
    codes, _ = ranks(2, command_with_a_death, config, "quantize", folder=tmp_path)
    assert codes == [1, -signal.SIGKILL]
    assert len(list(tmp_path.joinpath("Sensitivities").glob("*.json"))) == 1 + len(METRICS)
    assert not [*tmp_path.glob("Evaluation/*.json"), *tmp_path.glob("Evaluation/*.txt")]


@pytest.mark.parametrize("launcher", [True, False], ids=["torchrun", "mpirun"])
def test_an_error_of_all_is_told_once(config, tmp_path, launcher):
    config = config.replace(output=str(tmp_path), calibration_size=20)
    codes, errors = ranks(2, command, config, folder=tmp_path, launcher=launcher)
    assert codes == [1, 1]
    assert "".join(errors).count("error[E-DATA-SIZE]: PWCCA needs at least 33 reviews") == 1


def command_of_another_model(config, other):
    return command(config if os.environ["RANK"] == "0" else config.replace(model=other))


def test_processes_that_do_not_have_the_same_model_are_refused(config, tmp_path):
    config = config.replace(output=str(tmp_path))
    codes, errors = ranks(2, command_of_another_model, config, "embedded", folder=tmp_path)
    assert codes == [1, 1]
    (told,) = [text for text in errors if "error[" in text]
    assert "error[E-DISTRIBUTED]: The processes have different models" in told.replace("\n", " ")


def menu():
    return main([])


def test_the_menu_does_not_open_in_several_processes(tmp_path):
    codes, errors = ranks(2, menu, folder=tmp_path)
    assert codes == [2, 2]
    assert "".join(errors).count("error[E-DISTRIBUTED]: The menu runs in one process.") == 1
