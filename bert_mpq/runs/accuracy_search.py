"""The smallest plan that keeps the accuracy, found by evaluating plans on calibration reviews."""

from dataclasses import dataclass

from torch import nn

from bert_mpq.allocation.bisection import smallest_passing
from bert_mpq.allocation.whole_plans import WholePlan, frontier
from bert_mpq.compute.batches import Indices
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.evaluation import BitAllocation, paired_error
from bert_mpq.records.numbers import megabytes
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_labels
from bert_mpq.runs.plan import QuantizationPlan
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Accuracy lost on the same reviews, as a share, and the standard error of that paired difference."""

    value: float
    error: float

    @property
    def text(self) -> str:
        """The change in points: ``-0.20 +- 0.14 pp``."""
        return f"{0.0 - 100 * self.value:+.2f} +- {100 * self.error:.2f} pp"


def drop_between(before: Evaluation, after: Evaluation, labels: Indices) -> Drop:
    """Return what ``after`` loses; each review is right or wrong in both."""
    right, still = (float((each.predictions == labels).mean()) for each in (before, after))
    value = right - still
    return Drop(value=value, error=paired_error(value, after.agreement(before), len(labels)))


def smallest_accurate(job: Job[QuantizationPlan]) -> BitAllocation:
    """Return the smallest Pareto-optimal plan that loses no more accuracy than the target allows.

    Every plan is quantized and evaluated for real, on as many calibration reviews as will be evaluated later:
    the reviews of the report have no part in the choice. What it loses there must stay within the target with
    its standard error added.

    Raises:
        MpqError: E-BUDGET when even the largest plan loses more; E-LAYERS; what loading and evaluating raise.
    """
    model, reporter = job.classifier().model, job.reporter
    check_outline(job.plan, model)
    config, budget = job.plan.config, job.plan.budget
    if budget is None:
        raise ValueError("only a budget has a target")
    points = frontier(budget)
    size = min(job.plan.reviews["evaluation"], job.available("calibration"))
    work = job.draw("calibration", size)
    widths = {option.bits for each in budget.options for option in each}
    calibration = job.calibration(widths)
    before = evaluate(model, work, reporter, "Search: FP32")
    check_labels(job.plan, before.accuracy, work.planned_sample)
    allowed = config.goal.value / 100 + 1e-12  # 0.5pp of 200 reviews is one review exactly
    drops: dict[int, Drop] = {}

    def passes(index: int) -> bool:
        plan = points[index]
        bits, scheme = plan.assignment.bits, Scheme.of(config, plan.budget.embeddings)
        quantized = quantized_copy(model, budget.by_name(bits), scheme, calibration)
        title = _title(plan, budget.embeddings_are_open)
        after = evaluate(quantized.model, work, reporter, f"Search: {title}")
        drop = drops[index] = drop_between(before, after, work.tokens.labels)
        reporter.note(f"{title}: {drop.text}")
        return drop.value + drop.error <= allowed

    found = smallest_passing(len(points), passes)
    if found is None:
        raise _out_of_reach(drops[len(points) - 1], size)
    return points[found].allocation


def _title(plan: WholePlan, with_embeddings: bool) -> str:
    sizes = plan.budget.sizes(plan.assignment.bits)
    title = f"{sizes.bits_per_weight:.2f} bits a weight"
    if with_embeddings:
        title += f", {plan.budget.embeddings} embeddings, {megabytes(sizes.whole_bits):.1f} MB"
    return title


def _out_of_reach(worst: Drop, reviews: int) -> MpqError:
    reached = 100 * (worst.value + worst.error)
    return MpqError(
        "E-BUDGET",
        f"Even the largest plan loses {reached:.2f} pp with its standard error ({worst.text} on"
        f" {reviews:,} calibration reviews).",
        f"Ask for --target {reached:.2f}pp or more, pin fewer layers, or take more reviews.",
    )


def check_outline(plan: QuantizationPlan, model: nn.Module) -> None:
    """Refuse a budget for a model of another shape: the sizes would be wrong; raises MpqError E-LAYERS."""
    if plan.budget is not None and outline_of(model) != plan.budget.outline:
        raise MpqError(
            "E-LAYERS",
            f"The scores are of {plan.sensitivities.model_name}, a model of another shape.",
            "Pick another file, or run Phase 1 for this model.",
        )
