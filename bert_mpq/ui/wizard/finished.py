"""An evaluation that is done, for the menu to go on from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bert_mpq.runs.plan import EvaluationPlan, Plan

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
