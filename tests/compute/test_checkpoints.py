"""A run that is stopped goes on where it was, with the same result to the last bit, or starts anew."""

import errno
import os
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq import RunConfig, run
from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.checkpoints import Checkpoint, Checkpoints, State
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.reporting import Silent
from bert_mpq.runs.session import Session
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from tests.helpers.workloads import on

PROBE = Probe(scope="propagated", pooling="mean", bits=(4,), quantizer="rtn", group_size=None)
TENSORS = {"sums": torch.arange(300.0).reshape(3, 100), "done": torch.tensor([True, False])}
STATE = State(tensors=TENSORS, facts={"seconds": 0.1})
PHASES = {"calibration_size": 60, "eval_size": 70, "max_length": 16, "metrics": ("cka",), "bits": (8, 4)}
PHASES |= {"quantizer": "rtn"}


class Stopping(Silent):
    """Ctrl-C after so many batches of a stage; keeps the notes."""

    def __init__(self, stage="", after=None):
        self.stage, self.after, self.texts = stage, after, []

    def track(self, items, title, total, weight=None):
        for count, item in enumerate(items, start=1):
            yield item
            if title == self.stage and count == self.after:
                raise KeyboardInterrupt

    def note(self, text):
        self.texts.append(text)


def checkpoint(folder, reporter=None, every=0.0, **identity):
    return Checkpoint(folder / "Sensitivities" / ".x.npz", lambda: identity, every, reporter or Silent())


def whole_state(state):
    return state


def same(read):
    return (
        read.facts == STATE.facts
        and read.tensors.keys() == TENSORS.keys()
        and all(read.tensors[name].equal(TENSORS[name]) for name in TENSORS)
    )


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_was_written_is_read_back(tmp_path):
    checkpoint(tmp_path, weights="a").write(STATE)
    assert names(tmp_path) == ["Sensitivities/.x.npz"]
    assert checkpoint(tmp_path, weights="a").check()
    assert same(checkpoint(tmp_path, weights="a").restore(whole_state))


def test_nothing_is_read_where_nothing_was_written(tmp_path):
    reporter = Stopping()
    assert not checkpoint(tmp_path, reporter).check()
    assert checkpoint(tmp_path, reporter).restore(whole_state) is None
    assert reporter.texts == []


def test_the_checkpoint_of_another_run_is_ignored_with_a_note_and_replaced(tmp_path):
    checkpoint(tmp_path, weights="a", reviews="r").write(STATE)
    reporter = Stopping()
    other = checkpoint(tmp_path, reporter, weights="b", reviews="r")
    assert other.restore(whole_state) is None
    assert reporter.texts == ["The checkpoint .x.npz is ignored: it belongs to a run with other weights."]
    other.write(STATE)
    assert same(checkpoint(tmp_path, weights="b", reviews="r").restore(whole_state))


@given(position=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), cut=st.booleans())
@settings(max_examples=150)
def test_a_damaged_checkpoint_is_ignored_with_a_note_or_reads_as_it_was(
    tmp_path_factory, position, change, cut
):
    folder = tmp_path_factory.mktemp("damaged")
    checkpoint(folder, weights="a").write(STATE)
    path = folder / "Sensitivities" / ".x.npz"
    content = bytearray(path.read_bytes())
    place = int(position * len(content))
    content[place] = (content[place] + change) % 256
    path.write_bytes(content[:place] if cut else content)
    reporter = Stopping()
    read = checkpoint(folder, reporter, weights="a").restore(whole_state)
    if read is None:
        assert reporter.texts[0].startswith("The checkpoint .x.npz is ignored: it ")
    else:  # the byte was one that says nothing, such as a time stamp
        assert same(read)


def test_it_is_written_once_a_minute_and_takes_no_more_than_a_hundredth_of_the_time(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def slow(path, write):
        now[0] += 3.0

    monkeypatch.setattr("bert_mpq.compute.checkpoints.write_stream", slow)
    file = checkpoint(tmp_path, every=60.0)
    now[0] += 59.0
    assert not file.due
    now[0] += 2.0
    assert file.due
    file.write(STATE)
    now[0] += 299.0
    assert not file.due
    now[0] += 2.0
    assert file.due


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_no_checkpoint_does_not_end_the_run(tmp_path, monkeypatch, code):
    def fail(_):
        raise OSError(code, os.strerror(code))

    reporter = Stopping()
    file = checkpoint(tmp_path, reporter)
    monkeypatch.setattr(os, "fsync", fail)
    file.write(STATE)
    assert not file.due
    assert reporter.texts[0].startswith("No checkpoints in this run: ")
    assert names(tmp_path) == []


@pytest.fixture(scope="module")
def machine():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield pick_machine("cpu")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny(tiny_folder):
    return load_classifier(find_classifier(str(tiny_folder)))


@pytest.fixture(scope="module")
def tokens(tiny, reviews):
    return tokenize(reviews.take(list(range(90))), tiny.tokenizer, 24, Silent())


@pytest.fixture(scope="module")
def whole(tiny, tokens, machine):
    return measure(tiny, on(machine, tokens, 240), PROBE, Silent())


def pass_of(tiny, tokens, machine, folder, reporter=None, budget=240):
    reporter = reporter or Silent()
    with Checkpoints(str(folder), "Sensitivities", 0.0, reporter) as checkpoints:
        return measure(
            tiny,
            on(machine, tokens, budget),
            PROBE,
            reporter,
            checkpoints=checkpoints,
        )


def assert_equal_to_the_last_bit(first, second):
    for mine, theirs in zip(chain(*first.sums.blocks), chain(*second.sums.blocks), strict=True):
        state, other = mine.sums.state_dict(), theirs.sums.state_dict()
        assert state.keys() == other.keys()
        assert [name for name in state if not torch.equal(state[name], other[name])] == []
    assert (first.sums.done == second.sums.done).all()
    assert first.kl == second.kl


@pytest.mark.parametrize("stops", [(1,), (2, 3), (7, 1, 12)])
def test_a_pass_that_is_stopped_gives_the_same_sums_to_the_last_bit(
    tiny, tokens, machine, whole, tmp_path, stops
):
    for batches in stops:
        reporter = Stopping("Compare activations", batches)
        with pytest.raises(KeyboardInterrupt):
            pass_of(tiny, tokens, machine, tmp_path, reporter)
        assert "is kept in" in reporter.texts[-1]
        assert names(tmp_path) == ["Sensitivities/.checkpoint_compare-activations.npz"]
    reporter = Stopping()
    resumed = pass_of(tiny, tokens, machine, tmp_path, reporter)
    assert "Compare activations: going on from a checkpoint" in reporter.texts[0]
    assert_equal_to_the_last_bit(resumed, whole)
    assert resumed.batches == whole.batches
    assert names(tmp_path) == []


def test_batches_that_are_done_are_not_run_again(tiny, tokens, machine, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        pass_of(tiny, tokens, machine, tmp_path, Stopping("Compare activations", 5))

    class Counting(Silent):
        batches = 0

        def track(self, items, title, total, weight=None):
            for item in items:
                self.batches += title == "Compare activations"
                yield item

    counters = Counting(), Counting()
    pass_of(tiny, tokens, machine, tmp_path, counters[0])
    pass_of(tiny, tokens, machine, tmp_path, counters[1])
    assert counters[0].batches == counters[1].batches - 5


def test_another_batch_size_starts_anew(tiny, tokens, machine, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        pass_of(tiny, tokens, machine, tmp_path, Stopping("Compare activations", 5))
    reporter = Stopping()
    resumed = pass_of(tiny, tokens, machine, tmp_path, reporter, budget=480)
    assert "is ignored: it belongs to a run with other batch size" in reporter.texts[0]
    assert_equal_to_the_last_bit(resumed, measure(tiny, on(machine, tokens, 480), PROBE, Silent()))


def test_a_pass_that_ran_out_of_memory_goes_on_with_the_smaller_batches(
    tiny, tokens, machine, tmp_path, monkeypatch
):
    from bert_mpq.sensitivity.probed_classifier import ProbedClassifier

    whole = ProbedClassifier.forward

    def tight(self, input_ids, attention_mask):
        if input_ids.numel() > 48:
            raise MemoryError
        return whole(self, input_ids, attention_mask)

    monkeypatch.setattr(ProbedClassifier, "forward", tight)
    uninterrupted = measure(tiny, on(machine, tokens, 240), PROBE, Silent())
    with pytest.raises(KeyboardInterrupt):
        pass_of(tiny, tokens, machine, tmp_path, Stopping("Compare activations", 4))
    monkeypatch.setattr(ProbedClassifier, "forward", whole)
    resumed = pass_of(tiny, tokens, machine, tmp_path)
    assert_equal_to_the_last_bit(resumed, uninterrupted)
    assert resumed.batches == uninterrupted.batches


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """A full run that nothing has stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return run(RunConfig(**PHASES, model=tiny.source.name, batch_tokens=160, output=str(folder)))


@pytest.mark.parametrize("stage", ["Compare activations", "Evaluate quantized"])
def test_a_full_run_that_is_stopped_writes_the_same_figures(tiny, tmp_path, uninterrupted, stage):
    config = RunConfig(**PHASES, model=tiny.source.name, batch_tokens=160, output=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        run(config, Stopping(stage, 2), Session(checkpoint_every=0.0))
    reporter = Stopping()
    resumed = run(config, reporter, Session(checkpoint_every=0.0))
    assert any(f"{stage}: going on from a checkpoint" in text for text in reporter.texts)
    if stage == "Evaluate quantized":  # the stage before it is not repeated
        assert "Evaluate FP32: going on from a checkpoint, 70 reviews are done." in reporter.texts
    assert resumed.analysis.result.scores == uninterrupted.analysis.result.scores
    for mine, theirs in (
        (resumed.quantization.result.before, uninterrupted.quantization.result.before),
        (resumed.quantization.result.after, uninterrupted.quantization.result.after),
    ):
        assert (mine.loss, mine.correct, mine.f1) == (theirs.loss, theirs.correct, theirs.f1)
    assert not [name for name in names(tmp_path) if "checkpoint" in name or name.endswith(".part")]
