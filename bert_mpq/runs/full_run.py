"""Both phases, one after the other."""

from collections.abc import Callable
from dataclasses import dataclass

from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter
from bert_mpq.runs import phase_1, phase_2
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_few
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.plan import FullPlan
from bert_mpq.runs.session import Session


@dataclass(frozen=True, kw_only=True)
class FullRun:
    """Both phases."""

    analysis: phase_1.Analysis
    quantization: phase_2.Quantization


def run(
    plan: FullPlan,
    reporter: Reporter,
    session: Session,
    after_phase_1: Callable[[phase_1.Analysis], None],
) -> FullRun:
    """Both phases; the metric that ``decide`` names decides the allocation.

    Args:
        after_phase_1: is given the result of Phase 1 before Phase 2 starts.

    Raises:
        MpqError: any of its codes.
    """
    with memory_errors():
        check_few(Job(plan=plan, reporter=reporter, session=session, clock=session.clock))
    analysis = phase_1.run(plan.first, reporter, session)
    after_phase_1(analysis)
    scores = str(analysis.deciding_file(plan.config))
    second = plan_quantization(plan.config.replace(sensitivities=scores), plan.sources)
    return FullRun(analysis=analysis, quantization=phase_2.run(second, reporter, session))
