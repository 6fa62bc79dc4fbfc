"""Offers to train a quantized model that has lost too much."""

from bert_mpq.runs.plan import check_trainable, make_plan
from bert_mpq.settings import flags
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.execution import Execution, Finished
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.prompts import Option, choose
from bert_mpq.ui.wizard.steps import Back

LARGE_DROP = 0.03  # of the FP32 accuracy: the rule of the original tool's guide


def applies(finished: Finished) -> bool:
    """Return whether the drop is over 3 % and the model can be trained and has not been."""
    if finished.quantization is None or finished.quantization.result.trained is not None:
        return False
    result = finished.quantization.result
    try:
        check_trainable(result.config)
    except MpqError:
        return False
    return result.relative_drop(result.after) > LARGE_DROP


def act(finished: Finished, execution: Execution) -> Finished | None:
    """Ask for the epochs, train, and evaluate on the same reviews; return that evaluation.

    Raises:
        MpqError: what the pipeline raises.
    """
    assert finished.quantization is not None
    options = [
        Option(title="1 epoch (recommended)", value=1, description="Most of what can be won back"),
        Option(title="2 epochs", value=2),
        Option(title="3 epochs", value=3, description="For 2 bits in every layer"),
    ]
    epochs = choose("How long shall it be trained at most?", options, 1)
    if isinstance(epochs, Back):
        return None
    config = finished.quantization.result.config.replace(qat_epochs=epochs)
    plan = make_plan(config, "quantize", finished.plan.sources)
    execution.output.print(views.plan_panel(plan, execution.output))
    trained = execution.run(plan)
    views.print_repeat(flags.command_line("quantize", plan.config), execution.output)
    return trained
