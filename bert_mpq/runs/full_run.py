"""Both phases, one after the other."""

from dataclasses import dataclass

from bert_mpq.compute import distributed
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.runs.phase_1 import Analysis, analyse
from bert_mpq.runs.phase_2 import Quantization, quantize_and_evaluate
from bert_mpq.runs.plan import Plan, make_plan
from bert_mpq.runs.session import Session
from bert_mpq.settings.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class FullRun:
    """Both phases."""

    analysis: Analysis
    quantization: Quantization


def run(
    config: RunConfig,
    reporter: Reporter | None = None,
    session: Session | None = None,
    plan: Plan | None = None,
) -> FullRun:
    """Both phases; the first metric of ``config.metrics`` that has enough reviews decides the allocation.

    With ``until_stable`` it is the first one, whose allocation was waited for.

    Args:
        config: what to run.
        reporter: shows progress; default none.
        session: remembers what several runs share.
        plan: what ``make_plan(config, "run")`` returned, if it has been called already.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    reporter, session = reporter or Silent(), session or Session()
    plan = plan or make_plan(config, "run")
    analysis = analyse(config, reporter, session, plan)
    note = analysis.deciding_note(config)
    if note:
        reporter.note(note)
    second = config.replace(sensitivities=str(analysis.deciding_file(config)))
    quantization = quantize_and_evaluate(
        second, reporter, session, make_plan(second, "quantize", plan.sources)
    )
    return FullRun(analysis=analysis, quantization=quantization)
