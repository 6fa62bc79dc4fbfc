"""The exact plan against every clustering at the same size."""

import typing

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bert_mpq.allocation.best_clusterings import best_clusterings
from bert_mpq.allocation.clustering import allocate
from bert_mpq.allocation.knapsack import optimum
from bert_mpq.allocation.losses import assignment_of, losses_of, options_of
from bert_mpq.settings.choices import Grouping
from bert_mpq.settings.errors import MpqError

WIDTHS = (2, 3, 4, 8)
SIZES = (70_000, 70_000, 70_000, 90_000, 90_000, 50_000, 50_000, 50_000)


def cost(layer, bits):
    return SIZES[layer] * bits + (SIZES[layer] // 4 if bits < 16 else 0)


@st.composite
def measured(draw):
    """Losses of 3 to 8 layers at each width, noisy enough to break the order of the widths."""
    layers = draw(st.integers(3, 8))
    level = st.floats(1e-6, 1.0)
    values = [[draw(level) * 4.0**-b for b in WIDTHS] for _ in range(layers)]
    return losses_of(WIDTHS, values)


pins = st.dictionaries(st.integers(0, 2), st.sampled_from((2, 4, 16, 32)), max_size=2)


@settings(max_examples=40)
@given(
    measured(),
    st.sampled_from(typing.get_args(Grouping)),
    st.lists(st.sampled_from((2, 3, 4, 8, 16)), min_size=2, max_size=3),
    pins,
    st.integers(0, 2),
)
def test_no_clustering_beats_the_budget_plan_at_its_own_size(losses, method, bits, pins, protect_last):
    scores = [known[4] for known in losses]
    assume(len(set(scores)) >= len(bits))
    try:
        allocation = allocate(scores, sorted(bits, reverse=True), method, protect_last)
    except MpqError:
        assume(False)
    clustered = assignment_of(losses, cost, allocation.bits, pins)
    protected = range(len(losses) - protect_last, len(losses))
    best = optimum(options_of(losses, cost, pins, protected), clustered.cost)
    assert best.cost <= clustered.cost
    assert best.loss <= clustered.loss * (1 + 1e-9)


@settings(max_examples=10)
@given(measured(), st.floats(2.5, 12), pins)
def test_the_best_clusterings_fit_the_budget_and_keep_the_pins(losses, mean, pins):
    budget = int(mean * sum(SIZES[: len(losses)]))
    found = best_clusterings([known[4] for known in losses], losses, cost, budget, pins)
    for candidate in found:
        assert candidate.assignment.cost <= budget
        assert all(candidate.assignment.bits[layer] == bits for layer, bits in pins.items())
        best = optimum(options_of(losses, cost, pins), budget)
        assert best.loss <= candidate.assignment.loss * (1 + 1e-9)


def test_the_best_bits_of_a_clustering_are_found():
    """Two fragile layers, four easy ones; the budget has room for 8 bits on just two."""
    values = tuple((s * 16.0, s * 4.0, s, s / 256) for s in (1.0, 1.1, 0.1, 0.11, 0.01, 0.011))
    losses = losses_of(WIDTHS, values)

    def even(layer, bits):
        return 1000 * bits

    found = best_clusterings([row[2] for row in values], losses, even, 1000 * (8 + 8 + 4 + 4 + 2 + 2), {})
    kmeans = next(c for c in found if c.method == "kmeans" and len(c.group_bits) == 3)
    assert kmeans.group_bits == (8, 4, 2)
    assert kmeans.assignment.bits == (8, 8, 4, 4, 2, 2)
    assert {(c.method, len(c.group_bits)) for c in found} == {
        (method, count) for method in typing.get_args(Grouping) for count in (3, 4)
    }


def test_equal_scores_leave_no_clustering_to_compare():
    losses = losses_of((4,), ((0.1,),) * 4)
    assert best_clusterings([0.1] * 4, losses, cost, 10**9, {}) == ()


def test_options_are_the_probed_widths_and_16_bits():
    losses = losses_of((2, 8), ((0.5, 0.1), (0.4, 0.6)))
    first, second = options_of(losses, cost, {})
    assert [(o.bits, o.loss) for o in first] == [(2, 0.5), (8, 0.1), (16, 0.0)]
    assert [(o.bits, o.loss) for o in second] == [(2, 0.6), (8, 0.6), (16, 0.0)]  # monotone
    assert [o.cost for o in first] == [cost(0, 2), cost(0, 8), cost(0, 16)]


def test_a_pin_leaves_one_option_and_goes_before_protect_last():
    losses = losses_of((2, 8), ((0.5, 0.1),) * 3)
    units = options_of(losses, cost, {0: 32, 2: 2}, protected=(1, 2))
    assert [[o.bits for o in unit] for unit in units] == [[32], [16], [2]]


def test_an_allocation_with_a_width_that_was_not_probed_has_no_loss():
    losses = losses_of((2, 8), ((0.5, 0.1),) * 2)
    assert assignment_of(losses, cost, (8, 6), {}) is None
    assert assignment_of(losses, cost, (8, 32), {}).loss == 0.1
    assert assignment_of(losses, cost, (8, 6), {1: 2}).loss == pytest.approx(0.6)


def test_losses_are_told_by_width_whatever_the_order_they_were_probed_in():
    expected = {2: 1.6, 4: 0.1, 8: 0.1, 16: 0.0, 32: 0.0}  # monotone: 4 bits lose no less than 8
    assert losses_of((4, 2, 8), ((0.05, 1.6, 0.1),)) == (expected,)


def test_float16_loses_what_was_measured_where_it_was_probed():
    assert losses_of((16, 4), ((0.01, 0.2),)) == ({4: 0.2, 16: 0.01, 32: 0.0},)


@pytest.mark.parametrize(("widths", "values"), [((2, 4), ((1.0,),)), ((2,), ((float("inf"),),))])
def test_losses_that_make_no_table_are_refused(widths, values):
    with pytest.raises(ValueError, match=r"one loss|finite"):
        losses_of(widths, values)
