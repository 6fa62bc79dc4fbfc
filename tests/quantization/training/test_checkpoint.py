"""An interrupted training goes on where it was, and never with another training's state."""

import dataclasses
import errno
import io
import os

import numpy as np
import pytest
import torch

from bert_mpq.compute.checkpoints import State
from bert_mpq.compute.reporting import Silent
from bert_mpq.settings.errors import MpqError
from tests.helpers.small_task import RECIPE


class Interrupting(Silent):
    """Ctrl-C after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def track(self, items, title, total, weight=None):
        for item in items:
            yield item
            self.left -= title == "Quantization-aware training"
            if self.left == 0:
                raise KeyboardInterrupt


class Noting(Silent):
    """Keeps the notes."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


NO_HEADER = io.BytesIO()
np.savez(NO_HEADER, header=np.frombuffer(b"{}", np.uint8))


def without_seconds(report):
    return dataclasses.replace(report, seconds=0.0)


def stopped(task, file, steps):
    with pytest.raises(KeyboardInterrupt):
        task.train(reporter=Interrupting(steps), checkpoint=file)
    assert file.path.exists()


@pytest.fixture(scope="module")
def uninterrupted(task):
    return task.train()


@pytest.mark.parametrize("steps", [1, 3, 4, 7])  # in an epoch, at a check, at the end of an epoch
def test_a_resumed_training_gives_the_same_model(task, uninterrupted, checkpoint, steps):
    stopped(task, checkpoint(), steps)
    resumed = task.train(checkpoint=checkpoint())
    assert without_seconds(resumed.report) == without_seconds(uninterrupted.report)
    for name, weight in uninterrupted.quantized.weights.items():
        assert resumed.quantized.weights[name].codes.equal(weight.codes)
        assert resumed.quantized.weights[name].scale.equal(weight.scale)
    for (name, mine), theirs in zip(
        resumed.quantized.model.named_parameters(), uninterrupted.quantized.model.parameters(), strict=True
    ):
        assert mine.equal(theirs), name


def test_a_training_that_is_stopped_again_and_again_gets_there(task, uninterrupted, checkpoint):
    for _ in range(3):
        stopped(task, checkpoint(), 3)
    resumed = task.train(checkpoint=checkpoint())
    assert without_seconds(resumed.report) == without_seconds(uninterrupted.report)


def test_the_steps_before_the_checkpoint_are_not_made_again(task, checkpoint):
    stopped(task, checkpoint(), 9)
    stopped(task, checkpoint(), 2)  # the last two are left, and no step more
    assert task.train(checkpoint=checkpoint()).report.steps == 12


def test_it_is_removed_when_the_training_is_finished(task, checkpoint):
    file = checkpoint()
    task.train(checkpoint=file)
    assert not list(file.path.parent.iterdir())


def test_it_is_written_no_more_often_than_asked(task, checkpoint):
    file = checkpoint(every=3600.0)
    with pytest.raises(KeyboardInterrupt):
        task.train(reporter=Interrupting(5), checkpoint=file)
    assert not file.path.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bits": "(32, 4)"}, "bits"),
        ({"reviews": "2" * 64}, "reviews"),
        ({"weights": "3" * 64}, "weights"),
        ({"recipe": str(dataclasses.replace(RECIPE, learning_rate=0.5))}, "recipe"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_and_kept(task, checkpoint, changes, said):
    stopped(task, checkpoint(), 2)
    content = checkpoint().path.read_bytes()
    with pytest.raises(MpqError) as caught:
        task.train(checkpoint=checkpoint(**changes))
    assert caught.value.code == "E-CHECKPOINT"
    assert f"with other {said}." in caught.value.title
    assert "Finish it: bert-mpq quantize --qat-epochs 2\n" in caught.value.hint
    assert checkpoint().path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"no tensors at all", NO_HEADER.getvalue()])
def test_a_file_that_is_no_checkpoint_is_refused(task, checkpoint, content):
    checkpoint().path.write_bytes(content)
    with pytest.raises(MpqError, match="cannot be read") as caught:
        task.train(checkpoint=checkpoint())
    assert caught.value.code == "E-CHECKPOINT"
    assert checkpoint().path.read_bytes() == content


def test_a_checkpoint_cut_short_is_refused(task, checkpoint):
    stopped(task, checkpoint(), 2)
    path = checkpoint().path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MpqError, match="cannot be read"):
        task.train(checkpoint=checkpoint())


def test_a_checkpoint_without_a_tensor_is_refused(task, checkpoint):
    file = checkpoint()
    stopped(task, file, 2)
    state = file.restore(lambda state: state)
    file.write(State(tensors={n: t for n, t in state.tensors.items() if n != "loss"}, facts=state.facts))
    with pytest.raises(MpqError, match="cannot be read"):
        task.train(checkpoint=checkpoint())


def test_a_full_disk_costs_the_checkpoint_but_not_the_training(task, uninterrupted, checkpoint, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    reporter = Noting()
    result = task.train(checkpoint=checkpoint(reporter=reporter))
    assert without_seconds(result.report) == without_seconds(uninterrupted.report)
    assert [text.split(":")[0] for text in reporter.texts] == ["No checkpoints in this run"]


def test_it_holds_tensors_and_json_only(task, checkpoint):
    file = checkpoint()
    stopped(task, file, 2)
    state = file.restore(lambda state: state)
    assert state.facts["steps"] == 2
    assert {name.split("/")[0] for name in state.tensors} == {
        "parameter", "adamw", "codes", "scale", "other", "loss",
    }  # fmt: skip
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.tensors.values())
