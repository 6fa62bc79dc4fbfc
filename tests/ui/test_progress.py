"""The live display: bars per stage, and each layer's score while batches come in."""

import dataclasses
import io
import os
import signal
import time

import pytest
from rich.console import Console

from bert_mpq.records.numbers import score_text
from bert_mpq.runs.clock import Clock
from bert_mpq.ui.progress import Bars, PlainLines, Undrawn, score_bars
from tests.helpers.golden import check, console, shown

VALUES = {f"layer_{i}": v for i, v in enumerate((0.004, 0.0075, 0.0041, 0.0012, 0.0007, 0.0002))}


def test_a_bar_for_every_layer_in_the_order_of_the_model():
    views = score_bars("KL of the logits so far", VALUES, console(), room=20)
    check("live_scores", shown(views))


def test_a_score_is_never_shown_as_nothing():
    texts = [score_text(value) for value in (0.0, 0.01586, 1e-5, 9.96e-7, 4e-7, 3e-12)]
    assert texts == ["0.000000", "0.015860", "0.000010", "0.000001", "4.0e-07", "3.0e-12"]
    assert score_text(0.00012, 5) == "0.00012"


def test_a_low_window_shows_the_largest_only():
    text = shown(score_bars("KL", VALUES, console(), room=4))
    assert [line.split()[0] for line in text.splitlines()] == ["KL", "layer_0", "layer_1", "layer_2"]
    assert score_bars("KL", VALUES, console(), room=2) == []


def test_bars_grow_and_the_scores_go_when_the_stage_ends():
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=30, _environ={})
    with Bars(screen) as bars:
        stage = bars.track(range(3), "Compare activations", 3)
        next(stage)
        bars.scores("KL so far", {"layer_0": 0.1, "layer_1": 0.2})
        small = shown([bars._render()])
        bars.scores("KL so far", {"layer_0": 0.1, "layer_1": 0.4})
        large = shown([bars._render()])
        assert list(stage) == [1, 2]
        after = shown([bars._render()])

    def drawn(text):
        return text.splitlines()[-2].count("█")

    assert drawn(small) > drawn(large) > 0  # layer_0's bar shrinks beside the larger layer_1
    assert "layer_0" not in after
    assert "100%" in after


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="needs job control")
@pytest.mark.parametrize("display", [Undrawn, PlainLines, lambda: Bars(Console(file=io.StringIO()))])
def test_no_stage_has_the_seconds_that_the_process_was_stopped(display, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda process, number: time.sleep(0.5))  # until fg
    stages, started = Clock(), time.perf_counter()
    with display() as shown:
        stages.restart(shown.clock)
        signal.raise_signal(signal.SIGTSTP)
        stages.lap("Read")
    assert time.perf_counter() - started - stages.seconds("Read") >= 0.5


def test_the_engine_offers_running_scores(classifier, reviews):
    from bert_mpq.compute.batches import tokenize
    from bert_mpq.compute.reporting import Silent
    from bert_mpq.sensitivity.measure import measure
    from bert_mpq.sensitivity.probe import Probe
    from tests.helpers.workloads import on_cpu

    class Watching(Silent):
        def __init__(self):
            self.seen = []

        def scores(self, title, values):
            self.seen.append((title, values))

    tokens = tokenize(reviews.take(list(range(24))), classifier.tokenizer, 16, Silent())
    for scope, title in (("propagated", "KL of the logits so far"), ("isolated", "1 - CKA so far")):
        probe = Probe(scope=scope, pooling="mean", bits=(4,), quantizer="rtn", group_size=64)
        watching = Watching()
        measure(classifier, on_cpu(tokens, 512), probe, watching)
        assert watching.seen[0][0] == title
        assert list(watching.seen[0][1]) == [f"layer_{index}" for index in range(6)]
        assert all(0 <= value < 1 for value in watching.seen[0][1].values())


def test_running_scores_of_several_widths_are_those_of_the_first_and_linears_have_their_names(
    classifier, reviews
):
    from bert_mpq.compute.batches import tokenize
    from bert_mpq.compute.reporting import Silent
    from bert_mpq.sensitivity.measure import measure
    from bert_mpq.sensitivity.probe import Probe
    from tests.helpers.workloads import on_cpu

    seen = {}

    class Watching(Silent):
        def scores(self, title, values):
            seen.setdefault(title, values)

    tokens = tokenize(reviews.take(list(range(24))), classifier.tokenizer, 16, Silent())
    probe = Probe(scope="propagated", pooling="mean", bits=(4, 2), quantizer="rtn", group_size=64)
    both = measure(classifier, on_cpu(tokens, 32768), probe, Watching(), blocks=1)
    (title, shown_scores), *_ = seen.items()
    assert title == "KL of the logits so far, 4 bits"
    assert list(shown_scores.values()) == pytest.approx(both.of_width(0).kl)
    seen.clear()
    probe = dataclasses.replace(probe, bits=(4,), granularity="linear")
    measure(classifier, on_cpu(tokens, 32768), probe, Watching(), blocks=1)
    ((_, by_linear),) = seen.items()
    assert len(by_linear) == 36
    assert "layer_1.attention.self.query" in by_linear
