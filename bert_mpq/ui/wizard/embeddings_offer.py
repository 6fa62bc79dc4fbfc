"""Offers to keep the embeddings in 8 bits where they are most of what is left."""

from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.finished import Finished, evaluation_of


def applies(finished: Finished) -> bool:
    """Return whether wide tables take more than a third of a model that has not been trained."""
    result = finished.quantization.result
    return result.trained is None and result.sizes.wide_embeddings


def act(finished: Finished, execution: Execution) -> Finished | None:
    """Evaluate the same bits with 8-bit embeddings on the same reviews; return that evaluation.

    Raises:
        MpqError: what the pipeline raises.
    """
    config = finished.quantization.result.config.replace(embeddings="int8")
    plan = plan_quantization(config, finished.plan.sources)
    execution.output.print(views.plan_panel(plan, execution.output))
    return evaluation_of(plan, execution.run(plan))
