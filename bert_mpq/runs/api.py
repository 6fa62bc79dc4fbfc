"""The runs for scripts and notebooks: a configuration in, the result out."""

from bert_mpq.compute import distributed
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.runs import full_run, phase_1, phase_2
from bert_mpq.runs.full_run import FullRun
from bert_mpq.runs.make_plan import plan_analysis, plan_full_run, plan_quantization
from bert_mpq.runs.phase_1 import Analysis
from bert_mpq.runs.phase_2 import Quantization
from bert_mpq.runs.session import Session
from bert_mpq.settings.config import RunConfig


def analyse(config: RunConfig, reporter: Reporter | None = None, session: Session | None = None) -> Analysis:
    """Phase 1: score every encoder layer and write JSON, TXT and the run record.

    Args:
        config: what to run.
        reporter: shows progress; default none.
        session: remembers what several runs share.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    return phase_1.run(plan_analysis(config), reporter or Silent(), session or Session())


def quantize_and_evaluate(
    config: RunConfig, reporter: Reporter | None = None, session: Session | None = None
) -> Quantization:
    """Phase 2: allocate bits, quantize, evaluate before and after, write TXT and the run record.

    Args:
        config: what to run; ``sensitivities`` names the file to start from.
        reporter: shows progress; default none.
        session: remembers what several runs share, the FP32 evaluation among it.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    return phase_2.run(plan_quantization(config), reporter or Silent(), session or Session())


def run(config: RunConfig, reporter: Reporter | None = None, session: Session | None = None) -> FullRun:
    """Both phases; a note says which metric decides the bits where it is not the first one.

    Args:
        config: what to run.
        reporter: shows progress; default none.
        session: remembers what several runs share.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    plan, shown = plan_full_run(config), reporter or Silent()

    def tell(analysis: Analysis) -> None:
        note = analysis.deciding_note(plan.config)
        if note:
            shown.note(note)

    return full_run.run(plan, shown, session or Session(), tell)
