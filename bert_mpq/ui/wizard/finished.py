"""An evaluation that is done, for the menu to go on from: also with other settings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bert_mpq.runs.plan import EvaluationPlan, Plan
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views import panels as views

if TYPE_CHECKING:
    from bert_mpq.runs.full_run import FullRun
    from bert_mpq.runs.phase_1 import Analysis
    from bert_mpq.runs.phase_2 import Quantization


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An evaluation that is done."""

    plan: EvaluationPlan
    quantization: "Quantization"


def evaluation_of(plan: Plan, done: "Analysis | Quantization | FullRun") -> Finished | None:
    """Return the evaluation that a run has ended in; None where it was Phase 1 alone."""
    from bert_mpq.runs.full_run import FullRun
    from bert_mpq.runs.phase_2 import Quantization

    last = done.quantization if isinstance(done, FullRun) else done
    if isinstance(plan, EvaluationPlan) and isinstance(last, Quantization):
        return Finished(plan=plan, quantization=last)
    return None


def evaluated_again(finished: Finished, execution: Execution, **changes: Any) -> Finished | None:
    """Show the plan with other settings, and evaluate it on the same reviews; return that evaluation.

    Raises:
        MpqError: what the pipeline raises.
    """
    from bert_mpq.runs.make_plan import plan_quantization

    config = finished.quantization.result.config.replace(**changes)
    plan = plan_quantization(config, finished.plan.sources)
    execution.output.print(views.plan_panel(plan, execution.output))
    return evaluation_of(plan, execution.run(plan))
