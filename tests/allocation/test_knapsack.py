"""The exact knapsack against brute force, and what a budget promises."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_mpq.allocation.knapsack import (
    Assignment,
    InfeasibleError,
    WidthOption,
    frontier,
    non_dominated,
    optimum,
    repaired,
    smallest,
)

WIDTHS = (2, 3, 4, 8, 16)
losses = st.floats(0, 1e3, allow_subnormal=False) | st.floats(-12, 3).map(lambda exponent: 10.0**exponent)


@st.composite
def problems(draw, most=6):
    """Up to six units with up to five widths: any losses, costs that rise with the bits."""
    units = []
    for _ in range(draw(st.integers(1, most))):
        widths = draw(st.lists(st.sampled_from(WIDTHS), min_size=1, max_size=5, unique=True))
        weights, overhead = draw(st.integers(1, 10**6)), draw(st.integers(0, 10**4))
        units.append(
            tuple(
                WidthOption(bits=bits, cost=weights * bits + overhead * (bits < 16), loss=draw(losses))
                for bits in sorted(widths)
            )
        )
    return tuple(units)


def brute_force(units, budget, max_widths=None):
    """Every assignment that fits, the best one's loss; None when there is none."""
    fitting = [
        Assignment(options=options)
        for options in itertools.product(*units)
        if max_widths is None or len({option.bits for option in options}) <= max_widths
    ]
    return min((each.loss for each in fitting if each.cost <= budget), default=None)


def check(units, budget, max_widths=None):
    expected = brute_force(units, budget, max_widths)
    if expected is None:
        with pytest.raises(InfeasibleError) as refused:
            optimum(units, budget, max_widths)
        if refused.value.smallest is not None:
            assert refused.value.smallest > budget
            assert brute_force(units, refused.value.smallest, max_widths) is not None
            assert brute_force(units, refused.value.smallest - 1, max_widths) is None
        return
    found = optimum(units, budget, max_widths)
    assert found.cost <= budget
    assert all(option in unit for option, unit in zip(found.options, units, strict=True))
    assert max_widths is None or len(set(found.bits)) <= max_widths
    assert found.loss == pytest.approx(expected, rel=1e-8, abs=1e-15)


@settings(max_examples=60)
@given(problems(), st.floats(0, 1.05))
def test_the_optimum_equals_brute_force(units, share):
    low = sum(unit[0].cost for unit in units)
    high = sum(unit[-1].cost for unit in units)
    check(units, int(low + share * (high - low)))


@settings(max_examples=40)
@given(problems(most=4), st.floats(0, 1.05), st.integers(1, 3))
def test_at_most_k_widths_equals_brute_force(units, share, max_widths):
    low = sum(unit[0].cost for unit in units)
    high = sum(unit[-1].cost for unit in units)
    check(units, int(low + share * (high - low)), max_widths)


@given(problems(most=4))
@example((tuple(WidthOption(bits=bits, cost=bits, loss=5e-324 * (9 - bits)) for bits in (2, 8)),))
@example(((WidthOption(bits=2, cost=2, loss=2.3e-308),),))
def test_a_budget_that_is_exactly_the_cost_is_kept(units):
    for assignment in itertools.islice(itertools.product(*units), 3):
        check(units, sum(option.cost for option in assignment))


def test_losses_far_below_the_largest_still_decide():
    """At 8 bits and more the losses are a millionth of those at 2 bits: no tolerance may swallow them."""
    units = tuple(
        (
            WidthOption(bits=2, cost=200, loss=1.0),
            WidthOption(bits=8, cost=800, loss=1e-9 * (k + 1)),
            WidthOption(bits=16, cost=1600, loss=0.0),
        )
        for k in range(6)
    )
    assert optimum(units, 3 * 800 + 3 * 1600).bits == (8, 8, 8, 16, 16, 16)


def test_bits_that_buy_nothing_are_not_spent():
    unit = (WidthOption(bits=8, cost=8, loss=0.0), WidthOption(bits=16, cost=16, loss=0.0))
    assert optimum((unit, unit), 10**6).bits == (8, 8)


def test_a_single_width_may_cost_a_unit_more_than_it_needs():
    """With one width for all, a unit takes 8 bits though 4 would do it: the limit comes first."""
    easy = (WidthOption(bits=4, cost=4, loss=0.0), WidthOption(bits=8, cost=8, loss=0.0))
    hard = (WidthOption(bits=4, cost=4, loss=9.0), WidthOption(bits=8, cost=8, loss=0.5))
    assert optimum((easy, hard), 16, max_widths=1).bits == (8, 8)
    assert optimum((easy, hard), 16).bits == (4, 8)


def test_pins_with_more_widths_than_allowed_have_no_smallest_size():
    units = ((WidthOption(bits=4, cost=4, loss=1.0),), (WidthOption(bits=8, cost=8, loss=1.0),))
    with pytest.raises(InfeasibleError) as refused:
        optimum(units, 10**6, max_widths=1)
    assert refused.value.smallest is None


def test_a_unit_without_options_has_no_smallest_size():
    with pytest.raises(InfeasibleError) as refused:
        smallest(((WidthOption(bits=4, cost=4, loss=1.0),), ()))
    assert refused.value.smallest is None


@settings(max_examples=15)
@given(problems(most=4))
def test_the_frontier_is_optimal_at_each_of_its_sizes_and_ends_at_both_extremes(units):
    points = frontier(units, points=12)
    assert points[0].cost == sum(min(option.cost for option in unit) for unit in units)
    assert points[-1].loss == pytest.approx(brute_force(units, 10**12), rel=1e-8, abs=1e-15)
    for before, after in itertools.pairwise(points):
        assert before.cost < after.cost
        assert before.loss > after.loss
    for point in points:
        assert point.loss == pytest.approx(brute_force(units, point.cost), rel=1e-8, abs=1e-15)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_non_dominated_keeps_what_no_other_beats(pairs):
    everything = [Assignment(options=(WidthOption(bits=4, cost=c, loss=float(loss)),)) for c, loss in pairs]
    kept = {(a.cost, a.loss) for a in non_dominated(everything, lambda a: (a.cost, a.loss))}
    for a in everything:
        beaten = any(
            b.cost <= a.cost and b.loss <= a.loss and (b.cost, b.loss) != (a.cost, a.loss) for b in everything
        )
        assert ((a.cost, a.loss) in kept) == (not beaten)


@given(st.lists(losses | st.just(-1e-17), min_size=1, max_size=6))
def test_repaired_losses_never_rise_with_the_bits_and_never_fall(values):
    result = repaired(values)
    assert all(a >= b >= 0 for a, b in itertools.pairwise(result))
    assert all(new >= old for new, old in zip(result, values, strict=True))
    assert repaired(result) == result
    if list(values) == sorted(values, reverse=True) and min(values) >= 0:
        assert result == tuple(values)


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        repaired((0.2, float("nan")))


def test_what_the_solver_prints_stays_off_stdout(monkeypatch, capfd):
    import os

    import scipy.optimize

    solve = scipy.optimize.milp

    def loud(*arguments, **options):
        os.write(1, b"HighsMipSolverData::transformNewIntegerFeasibleSolution tmpSolver.run();\n")
        return solve(*arguments, **options)

    monkeypatch.setattr("scipy.optimize.milp", loud)
    units = (tuple(WidthOption(bits=bits, cost=10 * bits, loss=1.0 / bits) for bits in (2, 4, 8)),) * 3
    assert optimum(units, 140).cost <= 140
    print("the plan")
    assert capfd.readouterr().out == "the plan\n"
