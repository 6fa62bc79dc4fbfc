"""Bits and embeddings chosen together, against every combination there is."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.allocation.budget import make_budget
from bert_mpq.allocation.whole_plans import best_plan, frontier
from bert_mpq.records.width_scores import TableLosses
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import parse_target
from tests.allocation.test_budget import SCORES, config

LOSSES = TableLosses(reviews=64, int8=0.001, int4=0.9)
KNOWN = replace(SCORES, embeddings=LOSSES)


def every_plan():
    """(whole bits, loss) of every combination of widths and embeddings."""
    for precision in ("fp32", "int8", "int4"):
        budget = make_budget(config("3x", embeddings=precision), KNOWN)
        for options in itertools.product(*budget.options):
            bits = budget.sizes(tuple(option.bits for option in options)).whole_bits
            yield bits, sum(option.loss for option in options) + LOSSES.of(precision)


EVERY = sorted(every_plan())
WHOLE = make_budget(config("3x"), KNOWN).sizes((32,) * 4).whole_original_bits


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 8.0))
def test_the_plan_has_the_least_loss_of_all_that_fit(ratio):
    target = parse_target(f"{ratio:.3f}x")
    budget = make_budget(config(target.text), KNOWN)
    fitting = [loss for bits, loss in EVERY if bits * float(f"{target.value:.10g}") <= WHOLE]
    if not fitting:
        with pytest.raises(MpqError, match="cannot be reached"):
            best_plan(budget, target)
        return
    best = best_plan(budget, target)
    assert best.loss == pytest.approx(min(fitting))
    assert best.whole_bits == best.budget.sizes(best.assignment.bits).whole_bits
    assert best.budget.allocation(best.assignment).embeddings == best.budget.embeddings


def test_the_frontier_is_made_of_plans_that_no_other_one_beats():
    points = frontier(make_budget(config("0.5pp"), KNOWN))
    assert {point.budget.embeddings for point in points} == {"fp32", "int8", "int4"}
    for point in points:
        assert not any(bits <= point.whole_bits and loss < point.loss - 1e-12 for bits, loss in EVERY)
    assert [point.whole_bits for point in points] == sorted({point.whole_bits for point in points})


def test_what_cannot_be_reached_is_told_by_the_smallest_model():
    with pytest.raises(MpqError) as refused:
        best_plan(make_budget(config("30x"), KNOWN), parse_target("30x"))
    smallest = WHOLE / min(EVERY)[0]
    assert refused.value.hint == f"Ask for --target {int(100 * smallest) / 100:g}x or less."


@pytest.mark.parametrize(
    ("asked", "scores", "expected"),
    [
        ({"target": "3bits"}, KNOWN, "fp32"),  # of the encoder alone
        ({"target": "1.1x", "embeddings": "fp16"}, KNOWN, "fp16"),
        ({"target": "1.1x"}, SCORES, "fp32"),  # an old file: the loss is not known
        (
            {"target": "1.1x", "score": "cka"},
            replace(KNOWN, tables=(replace(KNOWN.tables[0], metric="cka"),)),
            "fp32",
        ),
    ],
)
def test_where_nothing_is_to_be_chosen_the_embeddings_are_as_asked_for(asked, scores, expected):
    budget = make_budget(config(**asked), scores)
    assert not budget.embeddings_are_open
    assert best_plan(budget, parse_target(asked["target"])).budget.embeddings == expected
