"""Plans measured as a whole: known answers with made-up damages."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.allocation.budget import make_budget
from bert_mpq.allocation.refinement import Search, neighbours
from bert_mpq.records.width_scores import MetricTable, WidthScores
from bert_mpq.settings.config import RunConfig
from tests.allocation.test_pins import OUTLINE

WIDTHS = (4, 2, 3, 8)


def scores(seed):
    """Made-up losses: those of a layer are the sums of those of its Linears."""
    draw = random.Random(seed)
    levels = [draw.lognormvariate(0, 1.5) for _ in OUTLINE.linears]
    linears = [[level * 4.0**-bits for bits in WIDTHS] for level in levels]
    layers = [
        [sum(row[k] for row in linears[start : start + 6]) for k in range(4)] for start in range(0, 72, 6)
    ]
    return WidthScores(
        config=RunConfig(probe_bits=WIDTHS),
        model_name="made-up",
        split="TRAIN set",
        reviews=8,
        outline=OUTLINE,
        widths=WIDTHS,
        tables=(MetricTable(metric="kl", values=tuple(map(tuple, layers))),),
        linears=(MetricTable(metric="kl", values=tuple(map(tuple, linears))),),
    )


def budget(seed=0, **changes):
    settings_of_plan = {"target": "5bits", "granularity": "linear", "group_size": 32, **changes}
    config = RunConfig(clustering="budget", quantizer="rtn", score="kl", **settings_of_plan)
    return make_budget(config, scores(seed))


def real_damage(seed, spread):
    """The predicted losses, each off by a factor of its own: what measuring would give."""
    draw = random.Random(seed + 1)
    base = scores(seed).linears[0].values
    by_name = {
        linear.name: {bits: row[k] * draw.lognormvariate(0, spread) for k, bits in enumerate(WIDTHS)}
        for linear, row in zip(OUTLINE.linears, base, strict=True)
    }
    return lambda plan: sum(by_name[name].get(bits, 0.0) for name, bits in plan.items())


@pytest.mark.parametrize("tie", [True, False])
def test_where_the_prediction_is_right_its_optimum_is_kept(tie):
    problem = budget(tie=tie)
    search = Search(problem, 12)
    assert len(list(search.run(real_damage(0, 0.0)))) == 12
    best = problem.best(problem.config.goal)
    assert search.best == problem.by_name(best.bits)
    assert tuple(search.best.values()) == search.optimum


@settings(max_examples=4)
@given(st.integers(0, 1000), st.sampled_from((0.3, 1.0)), st.booleans())
def test_a_finer_plan_never_loses_to_a_coarser_one_and_keeps_the_size(seed, spread, tie):
    measure, problem = real_damage(seed, spread), budget(seed, tie=tie)
    search = Search(problem, 15)
    list(search.run(measure))
    limit = problem.limit(problem.config.goal)
    assert problem.assignment(search.best).cost <= limit
    for coarser in (*problem.coarser, problem):
        optimum = coarser.by_name(coarser.best(coarser.config.goal).bits)
        assert measure(search.best) <= measure(optimum) + 1e-15
    assert len(search.measured) <= 15


def test_a_search_that_had_more_passes_is_never_worse():
    measure, found = real_damage(3, 1.0), []
    for passes in (2, 6, 30, 90):
        search = Search(budget(3), passes)
        list(search.run(measure))
        found.append(measure(search.best))
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]


@settings(max_examples=4)
@given(st.integers(0, 1000), st.sampled_from((None, 3)))
def test_neighbours_fit_differ_and_keep_pins_and_the_number_of_widths(seed, max_widths):
    problem = budget(seed, pin=("layer_0=8", "*.intermediate.dense=3"), max_widths=max_widths, protect_last=0)
    limit = problem.limit(problem.config.goal)
    center = problem.best(problem.config.goal)
    steps = list(neighbours(problem.options, center, limit, max_widths))
    assert steps
    for step in steps:
        assert step.cost <= limit
        assert step.bits != center.bits
        assert all(step.bits[unit] == bits for unit, bits in problem.pins.items())
        assert max_widths is None or len(set(step.bits)) <= max_widths


def test_coarser_problems_that_cannot_be_posed_are_left_out():
    assert [len(each.units) for each in budget(tie=False).coarser] == [12, 48]
    assert [len(each.units) for each in budget().coarser] == [12]
    assert budget(granularity="layer").coarser == ()
    assert budget(tie=False, pin=("layer_0.attention.self.query=8",)).coarser == ()
