"""Does the model say negative where it should say positive? Found out before a run spends time."""

from typing import TypeVar

from bert_mpq.records.context import Sample
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import Plan
from bert_mpq.settings.errors import MpqError

FEW = 64  # reviews that show it, if anything does
CHANCE = 0.001  # of so few correct predictions where both labels were guessed
AnyPlan = TypeVar("AnyPlan", bound=Plan)


def check_few(job: Job[AnyPlan], soon: int = 0) -> None:
    """Evaluate the FP32 model on a few reviews, and refuse labels that look swapped.

    Args:
        soon: reviews of a sample that is itself evaluated soon enough.

    Raises:
        MpqError: E-LABELS; what drawing and evaluating the reviews raise.
    """
    size = job.plan.reviews["evaluation"]
    if size <= soon:
        return
    try:
        work = job.draw("evaluation", min(size, FEW), "Tokenize to check the labels")
    except MpqError as error:
        if error.code == "E-ONE-CLASS":  # by chance: the whole sample will tell
            return
        raise
    job.clock.lap("Read and tokenize")
    check_labels(job.plan, job.baseline(work, "Check the labels").accuracy, work.planned_sample)
    job.clock.lap("Check the labels")


def check_labels(plan: Plan, accuracy: Accuracy, sample: Sample) -> None:
    """Refuse labels that look swapped.

    They do where guessing would hardly ever be right so seldom, and saying the opposite of the model is
    better than always saying the more frequent label. Reviews of one class show nothing.

    Args:
        plan: the run.
        accuracy: of the FP32 model.
        sample: the reviews.

    Raises:
        MpqError: E-LABELS.
    """
    if not look_swapped(accuracy.correct, sample.size, sample.positive):
        return
    outputs = plan.sources.model.outputs
    flag = "leave --swap-labels out" if plan.config.swap_labels else "use --swap-labels"
    raise MpqError(
        "E-LABELS",
        f"The labels look swapped: of {sample.size:,} reviews the FP32 model is right on"
        f" {accuracy.correct:,}. Here {outputs.text}.",
        f"If the opposite is meant, {flag}.",
    )


def look_swapped(correct: int, size: int, positive: int) -> bool:
    """Return whether a model that is right on ``correct`` of ``size`` reviews means the opposite."""
    from scipy.special import bdtr  # the binomial distribution; scipy.stats takes a second to import

    larger = max(positive, size - positive)
    if larger == size:
        return False
    return bool(bdtr(correct, size, 0.5) < CHANCE) and size - correct > larger
