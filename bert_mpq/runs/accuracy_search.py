"""The smallest plan that keeps the accuracy, found by evaluating plans on calibration reviews."""

from torch import nn

from bert_mpq.allocation.bisection import smallest_passing
from bert_mpq.allocation.budget import Budget
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.runs.plan import Plan
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import needs_calibration
from bert_mpq.sources.classifiers import Classifier


def find_allocation(plan: Plan, session: Session, reporter: Reporter) -> BitAllocation:
    """Load the model and return what ``smallest_accurate`` finds.

    Raises:
        MpqError: E-BUDGET, E-LAYERS, or what loading and evaluating raise.
    """
    machine = session.machine(plan.config)
    classifier = session.classifier(plan, reporter)
    assert plan.budget is not None
    check_outline(plan.budget, classifier.model)
    return smallest_accurate(plan, session, classifier, machine, reporter)


def smallest_accurate(
    plan: Plan, session: Session, classifier: Classifier, machine: Machine, reporter: Reporter
) -> BitAllocation:
    """Return the smallest Pareto-optimal allocation that loses no more accuracy than the target allows.

    Every plan is quantized and evaluated for real, on as many calibration reviews as will be evaluated later:
    the reviews of the report have no part in the choice.

    Raises:
        MpqError: E-BUDGET when even the largest plan loses more.
    """
    budget, config = plan.budget, plan.config
    assert budget is not None
    points = budget.frontier()
    tokens, _ = session.search_sample(plan, reporter)
    work = Workload(tokens=tokens, machine=machine, asked=config.batch_tokens)
    widths = {option.bits for unit in budget.units for option in unit}
    calibration = None
    if needs_calibration(config.quantizer, widths):
        calibration = session.gptq_calibration(plan, machine, reporter)
    before = evaluate(classifier.model, work, reporter, "Search: FP32").accuracy
    allowed = config.goal.value / 100 + 1e-12  # 0.5pp of 200 reviews is one review exactly
    drops: dict[int, float] = {}

    def passes(index: int) -> bool:
        bits = points[index].bits
        by_name = budget.outline.bits_by_name(bits)
        scheme = Scheme.of(config)
        model = quantized_copy(classifier.model, by_name, scheme, calibration and calibration[0]).model
        sizes = budget.sizes(bits)
        title = f"Search: {sizes.bits_per_weight:.2f} bits a weight"
        after = evaluate(model, work, reporter, title).accuracy
        drops[index] = before.accuracy - after.accuracy
        reporter.note(f"{sizes.bits_per_weight:.2f} bits a weight: {-100 * drops[index] + 0.0:+.2f} pp")
        return drops[index] <= allowed

    found = smallest_passing(len(points), passes)
    if found is None:
        worst = 100 * drops[len(points) - 1]
        raise MpqError(
            "E-BUDGET",
            f"Even the largest plan loses {worst:.2f} pp on {len(tokens):,} calibration reviews.",
            f"Ask for --target {worst:.2f}pp or more, pin fewer layers, or take more reviews.",
        )
    return budget.allocation(points[found])


def check_outline(budget: Budget, model: nn.Module) -> None:
    """Refuse scores of a model of another shape: the sizes would be wrong.

    Raises:
        MpqError: E-LAYERS.
    """
    if outline_of(model) != budget.outline:
        raise MpqError(
            "E-LAYERS",
            f"The scores are of {budget.scores.model_name}, a model of another shape.",
            "Pick another file, or run Phase 1 for this model.",
        )
