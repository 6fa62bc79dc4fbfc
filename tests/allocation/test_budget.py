"""Targets in every unit, and what is said when they cannot be reached."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.allocation.budget import make_budget, sensitivities_of
from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.width_scores import MetricTable, WidthScores
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import parse_target

OUTLINE = Outline(
    linears=tuple(
        LinearShape(name=f"layer.{layer}.{name}", layer=layer, outputs=out, inputs=inputs)
        for layer in range(4)
        for name, out, inputs in (("query", 128, 128), ("dense", 512, 128))
    ),
    embedding_weights=200_000,
    embedding_scales=3_125,
    norm_weights=3_000,
    head_weights=17_000,
)
SCORES = WidthScores(
    config=RunConfig(probe_bits=(4, 2, 8)),
    model_name="embedded",
    split="TRAIN set",
    reviews=64,
    outline=OUTLINE,
    widths=(4, 2, 8),
    tables=(
        MetricTable(metric="predicted", values=tuple((0.1 * k, 1.6 * k, 0.0004 * k) for k in (1, 4, 2, 3))),
        MetricTable(metric="cka", values=((0.1, 1.0, 0.0),) * 3 + ((0.1, float("nan"), 0.0),)),
    ),
)


def config(target="4bits", **changes):
    return RunConfig(clustering="budget", target=target, **changes)


def best(target, **changes):
    budget = make_budget(config(target, **changes), SCORES)
    return budget, budget.sizes(budget.best(parse_target(target)).bits)


def test_the_losses_are_those_of_the_score_asked_for():
    assert make_budget(config(), SCORES).losses[0] == {2: 1.6, 4: 0.1, 8: 0.0004, 16: 0.0, 32: 0.0}


def test_the_sensitivities_of_a_report_are_those_of_the_first_width():
    found = sensitivities_of(SCORES, "predicted", "widths_x.json")
    assert found.values == pytest.approx((0.1, 0.4, 0.2, 0.3))
    assert (found.metric, found.samples, found.file_name) == ("predicted", "64", "widths_x.json")


@pytest.mark.parametrize(("metric", "said"), [("pwcca", "was not measured"), ("cka", "no valid value")])
def test_a_score_that_is_not_there_is_refused_with_those_that_are(metric, said):
    with pytest.raises(MpqError, match=f"{said}.*there are: predicted") as refused:
        make_budget(config(score=metric), SCORES)
    assert refused.value.code == "E-SCORE"


targets = st.tuples(st.floats(1.0, 40.0), st.sampled_from(("x", "MB", "bits"))).map(
    lambda pair: f"{pair[0] / 10 if pair[1] == 'MB' else pair[0]:.3f}{pair[1]}"
)


@settings(max_examples=25)
@given(targets, st.sampled_from(("fp32", "fp16")))
def test_a_size_target_is_kept_or_the_smallest_one_is_named_and_can_be_reached(target, embeddings):
    budget = make_budget(config(target, embeddings=embeddings), SCORES)
    goal = parse_target(target)
    if budget.limit(goal) < sum(each[0].cost for each in budget.options):
        with pytest.raises(MpqError, match="cannot be reached") as refused:
            budget.best(goal)
        offer = refused.value.hint.removeprefix("Ask for --target ").split()[0].rstrip(".,")
        assert set(budget.best(parse_target(offer)).bits) == {2}
        with pytest.raises(MpqError):  # a little harder cannot be reached
            budget.best(parse_target(harder(offer)))
        return
    sizes = budget.sizes(budget.best(goal).bits)
    reached = {
        "ratio": sizes.whole_ratio,
        "megabytes": -sizes.whole_bits / 8 / 1024**2,
        "bits": -sizes.bits_per_weight,
    }
    assert reached[goal.kind] >= (goal.value if goal.kind == "ratio" else -goal.value) - 1e-9


def harder(offer):
    goal = parse_target(offer)
    step = 0.02 if goal.kind == "ratio" else -0.02
    return dataclasses.replace(goal, value=round(goal.value + step, 2)).text


def test_the_message_of_an_impossible_target_says_where_the_bytes_are():
    with pytest.raises(MpqError) as refused:
        best("9x")
    assert refused.value.title.startswith("9x cannot be reached: the smallest plan takes 2.25 bits")
    assert "of it not encoder weights" in refused.value.title
    assert refused.value.hint.endswith("or less, or --embeddings int8.")
    with pytest.raises(MpqError) as refused:
        best("2bits")
    assert refused.value.hint == "Ask for --target 2.25bits or more."


def test_pins_with_more_widths_than_allowed_are_refused():
    with pytest.raises(MpqError, match=r"The pins need 2 widths, --max-widths allows 1.") as refused:
        best("8bits", pin=("layer_0=8", "layer_1=4"), max_widths=1)
    assert refused.value.code == "E-BUDGET"


def test_pins_protected_layers_and_the_number_of_widths_hold_on_the_whole_frontier():
    budget = make_budget(config(pin=("layer_0=8",), protect_last=1, max_widths=3), SCORES)
    points = budget.frontier()
    assert len(points) > 3
    for point in points:
        assert point.bits[0] == 8
        assert point.bits[3] == 16
        assert len(set(point.bits)) <= 3


def test_an_allocation_has_a_group_for_each_width_in_use():
    budget = make_budget(config("5bits"), SCORES)
    allocation = budget.allocation(budget.best(parse_target("5bits")))
    assert allocation.method == "budget"
    assert allocation.group_bits == tuple(sorted(set(allocation.bits), reverse=True))
    assert [allocation.group_bits[group] for group in allocation.groups] == list(allocation.bits)


@pytest.mark.parametrize("max_widths", [None, 2, 3])
def test_no_clustering_is_better_at_the_size_of_the_plan(max_widths):
    budget = make_budget(config("5bits", pin=("layer_3=8",), max_widths=max_widths), SCORES)
    plan = budget.best(parse_target("5bits"))
    rivals = budget.clusterings(plan.cost)
    assert rivals
    for rival in rivals:
        assert rival.assignment.cost <= plan.cost
        assert rival.assignment.loss >= plan.loss * (1 - 1e-9)
        assert max_widths is None or len(set(rival.assignment.bits)) <= max_widths
