"""The smallest plan that keeps the accuracy, found by evaluating plans on calibration reviews."""

from torch import nn

from bert_mpq.allocation.bisection import smallest_passing
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_labels
from bert_mpq.runs.plan import QuantizationPlan
from bert_mpq.settings.errors import MpqError


def smallest_accurate(job: Job[QuantizationPlan]) -> BitAllocation:
    """Return the smallest Pareto-optimal allocation that loses no more accuracy than the target allows.

    Every plan is quantized and evaluated for real, on as many calibration reviews as will be evaluated later:
    the reviews of the report have no part in the choice.

    Raises:
        MpqError: E-BUDGET when even the largest plan loses more; E-LAYERS; what loading and evaluating raise.
    """
    model, reporter = job.classifier().model, job.reporter
    check_outline(job.plan, model)
    config, budget = job.plan.config, job.plan.budget
    if budget is None:
        raise ValueError("only a budget has a target")
    points = budget.frontier()
    size = min(job.plan.reviews["evaluation"], job.available("calibration"))
    work = job.draw("calibration", size)
    widths = {option.bits for each in budget.options for option in each}
    calibration = job.calibration(widths)
    before = evaluate(model, work, reporter, "Search: FP32").accuracy
    check_labels(job.plan, before, work.planned_sample)
    allowed = config.goal.value / 100 + 1e-12  # 0.5pp of 200 reviews is one review exactly
    drops: dict[int, float] = {}

    def passes(index: int) -> bool:
        bits = points[index].bits
        quantized = quantized_copy(model, budget.by_name(bits), Scheme.of(config), calibration)
        mean = f"{budget.sizes(bits).bits_per_weight:.2f} bits a weight"
        after = evaluate(quantized.model, work, reporter, f"Search: {mean}").accuracy
        drops[index] = before.accuracy - after.accuracy
        reporter.note(f"{mean}: {-100 * drops[index] + 0.0:+.2f} pp")
        return drops[index] <= allowed

    found = smallest_passing(len(points), passes)
    if found is None:
        worst = 100 * drops[len(points) - 1]
        raise MpqError(
            "E-BUDGET",
            f"Even the largest plan loses {worst:.2f} pp on {size:,} calibration reviews.",
            f"Ask for --target {worst:.2f}pp or more, pin fewer layers, or take more reviews.",
        )
    return budget.allocation(points[found])


def check_outline(plan: QuantizationPlan, model: nn.Module) -> None:
    """Refuse a budget for a model of another shape: the sizes would be wrong; raises MpqError E-LAYERS."""
    if plan.budget is not None and outline_of(model) != plan.budget.outline:
        raise MpqError(
            "E-LAYERS",
            f"The scores are of {plan.sensitivities.model_name}, a model of another shape.",
            "Pick another file, or run Phase 1 for this model.",
        )
