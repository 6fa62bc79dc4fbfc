"""Offers to train a quantized model that has lost too much."""

from bert_mpq.runs.checks import check_trainable
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.finished import Finished, evaluation_of
from bert_mpq.ui.wizard.prompts import Back, choose, rows_of

LARGE_DROP = 0.03  # of the FP32 accuracy: the rule of the guide to the script this tool replaces


def applies(finished: Finished) -> bool:
    """Return whether a model that works has lost over 3 %, and can be trained and has not been."""
    result = finished.quantization.result
    if result.trained is not None or not result.works:
        return False
    try:
        check_trainable(result.config, finished.plan.sources.model)
    except MpqError:
        return False
    return result.relative_drop(result.after) > LARGE_DROP


def act(finished: Finished, execution: Execution) -> Finished | None:
    """Ask for the epochs, train, and evaluate on the same reviews; return that evaluation.

    Raises:
        MpqError: what the pipeline raises.
    """
    rows = rows_of(
        ("1 epoch (recommended)", 1, "Most of what can be won back"),
        ("2 epochs", 2, ""),
        ("3 epochs", 3, "For 2 bits in every layer"),
    )
    epochs = choose("How long shall it be trained at most?", rows, 1)
    if isinstance(epochs, Back):
        return None
    config = finished.quantization.result.config.replace(qat_epochs=epochs)
    plan = plan_quantization(config, finished.plan.sources)
    execution.output.print(views.plan_panel(plan, execution.output))
    return evaluation_of(plan, execution.run(plan))
