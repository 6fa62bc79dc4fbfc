"""The runs for scripts and notebooks: a configuration in, the result out.

Each takes a reporter that shows the progress (default none) and a session that remembers what several runs
share, and raises MpqError with any of its codes.
"""

from bert_mpq.compute import distributed
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.records.decision import decide
from bert_mpq.runs import full_run, phase_1, phase_2
from bert_mpq.runs.make_plan import plan_analysis, plan_full_run, plan_quantization
from bert_mpq.runs.session import Session
from bert_mpq.settings.config import RunConfig


def analyse(
    config: RunConfig, reporter: Reporter | None = None, session: Session | None = None
) -> phase_1.Analysis:
    """Phase 1: score every encoder layer and write JSON, TXT and the run record."""
    shown, session = _begun(reporter, session)
    return phase_1.run(plan_analysis(config), shown, session)


def quantize_and_evaluate(
    config: RunConfig, reporter: Reporter | None = None, session: Session | None = None
) -> phase_2.Quantization:
    """Phase 2: allocate bits, quantize, evaluate before and after, write TXT and the run record.

    ``config.sensitivities`` names the file to start from.
    """
    shown, session = _begun(reporter, session)
    return phase_2.run(plan_quantization(config), shown, session)


def run(
    config: RunConfig, reporter: Reporter | None = None, session: Session | None = None
) -> full_run.FullRun:
    """Both phases; a note says which metric decides the bits, and why."""
    shown, session = _begun(reporter, session)
    plan = plan_full_run(config)

    def tell(analysis: phase_1.Analysis) -> None:
        if plan.config.clustering != "budget":
            shown.note(decide(analysis.result).sentence)

    return full_run.run(plan, shown, session, tell)


def _begun(reporter: Reporter | None, session: Session | None) -> tuple[Reporter, Session]:
    """Meet the other processes and start the run's clock; return a reporter and a session in any case."""
    distributed.join()
    reporter, session = reporter or Silent(), session or Session()
    session.clock.restart(reporter.clock)
    return reporter, session
