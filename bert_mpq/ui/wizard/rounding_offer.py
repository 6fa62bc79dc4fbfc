"""Offers to learn the rounding of a model of few bits, where the quantizer has not done so."""

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.numbers import duration
from bert_mpq.settings.quantizers import FEW_BITS, is_symmetric, reviews_for
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard.finished import Finished, evaluated_again
from bert_mpq.ui.wizard.prompts import Back, choose, rows_of


def applies(finished: Finished) -> bool:
    """Return whether there are 2 or 3 bits whose rounding has not been learned and can be."""
    result = finished.quantization.result
    config = result.config
    searched = config.clustering == "budget" and config.goal.kind == "drop"  # by quantizing again and again
    return (
        result.trained is None
        and min(result.allocation.bits) <= FEW_BITS
        and config.quantizer != "learned"
        and is_symmetric(config.quantizer)
        and result.gptq_sample is not None
        and not searched
    )


def seconds(result: EvaluationResult) -> float:
    """Return how long it should take, by the time that the evaluation took."""
    from bert_mpq.quantization.rounding import RoundingRecipe

    evaluation = next(stage.seconds for stage in result.stages if stage.name == "Evaluate quantized")
    learned = sum(bits < 8 for bits in result.allocation.bits) / len(result.allocation.bits)
    reviews = reviews_for("learned", result.config.gptq_reviews)
    return evaluation / result.sample.size * RoundingRecipe().forward_passes(reviews) * learned


def act(finished: Finished, execution: Execution) -> Finished | None:
    """Say how long it takes, quantize again, and go on as ``evaluated_again``."""
    time = duration(seconds(finished.quantization.result))
    rows = rows_of(("Start", True, f"About {time}; Ctrl-C keeps the layers that are done"))
    if isinstance(choose("Learn the rounding on calibration reviews?", rows, True), Back):
        return None
    return evaluated_again(finished, execution, quantizer="learned")
