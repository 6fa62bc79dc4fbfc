"""Plans of equal size, each the best by one score, evaluated as a whole and compared on other reviews.

A score may rank the units well and still give bad plans: what counts in the end is the damage that is left.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bert_mpq.allocation.knapsack import optimum
from bert_mpq.allocation.losses import Losses, losses_of, options_of
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.records.context import Sample
from bert_mpq.records.outline import Outline
from bert_mpq.records.sizes import size_report, unit_bits
from bert_mpq.records.validation import SizedPlan, WidthValidation
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import ValidationPlan
from bert_mpq.sensitivity.plan_models import PlanModels
from bert_mpq.settings.config import RunConfig

LOSSLESS = 8  # from here on there is nothing to compare


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Plans of equal size, the reviews they were evaluated on, and the FP32 accuracy there."""

    plans: tuple[SizedPlan, ...]
    sample: Sample
    accuracy: float


def compare_plans(
    job: Job[ValidationPlan], widths: Sequence[WidthValidation], models: PlanModels
) -> Compared:
    """Return the best plan by every score at the sizes of the uniform plans, and between the two smallest.

    Raises:
        MpqError: what drawing reviews and evaluating raise.
    """
    config = job.plan.config
    work = job.draw("evaluation", job.plan.reviews["evaluation"])
    before = job.baseline(work)
    outline = outline_of(work.classifier.model)

    def named(bits: tuple[int, ...]) -> dict[str, int]:
        return outline.bits_by_name(bits, config.granularity, tie=False)

    @functools.cache
    def evaluated(bits: tuple[int, ...]) -> Evaluation:
        title = f"Evaluate {' '.join(map(str, bits[:12]))}{' ...' if len(bits) > 12 else ''}"
        return job.evaluate(models.of(named(bits)), work, title)

    plans = []
    for size, score, bits in candidate_plans(config, outline, widths):
        after = evaluated(bits)
        sizes = size_report(outline, named(bits), config.quantizer, config.group_size)
        plans.append(
            SizedPlan(
                size=size,
                score=score,
                bits=bits,
                bits_per_weight=sizes.bits_per_weight,
                kl=after.divergence(before),
                agreement=after.agreement(before),
                accuracy=after.accuracy.accuracy,
            )
        )
    sample = work.sample(before.batches.largest)
    return Compared(plans=tuple(plans), sample=sample, accuracy=before.accuracy.accuracy)


def candidate_plans(
    config: RunConfig, outline: Outline, widths: Sequence[WidthValidation]
) -> list[tuple[float, str, tuple[int, ...]]]:
    """Return (bits per weight allowed, score, bits of each unit) of every plan to compare."""
    units = outline.units(config.granularity, tie=False)

    def cost(unit: int, bits: int) -> int:
        return unit_bits(units[unit], bits, config.quantizer, config.group_size)

    def uniform(bits: int) -> int:
        return sum(cost(unit, bits) for unit in range(len(units)))

    scores = score_losses(widths)
    low, *rest = sorted(width.bits for width in widths)
    budgets = [uniform(bits) for bits in rest if bits < LOSSLESS]
    if budgets:
        budgets.insert(0, (uniform(low) + budgets[0]) // 2)
    found = []
    for budget in budgets:
        size = budget / outline.linear_weights
        for score, losses in scores.items():
            best = optimum(options_of(losses, cost, {}), budget)
            found.append((size, score, best.bits))
        fitting = [bits for bits in (low, *rest) if uniform(bits) <= budget]
        found.append((size, "uniform", (max(fitting),) * len(units)))
    return found


def score_losses(widths: Sequence[WidthValidation]) -> dict[str, Losses]:
    """Return the KL and every valid score, scope propagated, as losses of each unit.

    Depth has no size of its own: it is scaled by the power of quantization noise, 4 to the -bits.
    """
    columns: dict[str, list[tuple[float, ...]]] = {"kl": [width.kl for width in widths]}
    for width in widths:
        for predictor in width.predictors:
            if predictor.scope != "isolated":
                factor = 4.0**-width.bits if predictor.name == "depth" else 1.0
                values = tuple((value + (predictor.name == "depth")) * factor for value in predictor.values)
                columns.setdefault(predictor.name, []).append(values)
    bits = [width.bits for width in widths]
    return {
        name: losses_of(bits, tuple(zip(*column, strict=True)))
        for name, column in columns.items()
        if all(np.isfinite(values).all() for values in column)
    }
