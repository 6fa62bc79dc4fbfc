"""Offers to train a quantized model that has lost too much."""

from bert_mpq.runs.checks import check_trainable
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard.finished import Finished, evaluated_again
from bert_mpq.ui.wizard.prompts import Back, choose, problem_of, rows_of

LARGE_DROP = 0.03  # of the FP32 accuracy: the rule of the guide to the script this tool replaces


def applies(finished: Finished) -> bool:
    """Return whether a model that works has lost over 3 %, and can be trained and has not been."""
    result, model = finished.quantization.result, finished.plan.sources.model
    if result.trained is not None or not result.works:
        return False
    trainable = not problem_of(lambda: check_trainable(result.config, model))
    return trainable and result.relative_drop(result.after) > LARGE_DROP


def act(finished: Finished, execution: Execution) -> Finished | None:
    """Ask for the epochs, train, and go on as ``evaluated_again``."""
    rows = rows_of(
        ("1 epoch (recommended)", 1, "Most of what can be won back"),
        ("2 epochs", 2, ""),
        ("3 epochs", 3, "For 2 bits in every layer"),
    )
    epochs = choose("How long shall it be trained at most?", rows, 1)
    if isinstance(epochs, Back):
        return None
    return evaluated_again(finished, execution, qat_epochs=epochs)
