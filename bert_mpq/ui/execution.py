"""Runs plans with progress on stderr and results on stdout, the same for the wizard and for scripts."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import questionary
from rich.console import Console, RenderableType

from bert_mpq.compute import distributed
from bert_mpq.records.files import EVALUATION
from bert_mpq.records.sensitivity_file import check_scores
from bert_mpq.runs.log import RunLog
from bert_mpq.runs.plan import AnalysisPlan, EvaluationPlan, FullPlan, Plan, QuantizationPlan
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.console import is_live
from bert_mpq.ui.progress import Bars, Display, Nothing, PlainLines
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.views.evaluation import evaluation_views
from bert_mpq.ui.views.sensitivity import sensitivity_views
from bert_mpq.ui.views.timing import plan_time

if TYPE_CHECKING:
    from bert_mpq.runs.phase_1 import Analysis
    from bert_mpq.runs.phase_2 import Quantization
    from bert_mpq.runs.session import Session


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An evaluation that is done."""

    plan: EvaluationPlan
    quantization: "Quantization"


class Execution:
    """Keeps the session between runs, so that the FP32 evaluation is made once.

    Every run has the same shape: a plan, ``start``, ``running`` around the function that does it, ``show``.
    """

    def __init__(self, output: Console, errors: Console, quiet: bool = False) -> None:
        self.output = output
        self.errors = errors
        self._quiet = quiet
        self._session: Session | None = None
        self._log = RunLog()
        self.written = False  # whether files of this process are on disk
        self.log_file: Path | None = None  # where the traceback of an error is

    def reporter(self) -> Display:
        """Return what shows progress: bars on a live terminal, plain lines elsewhere, nothing when quiet."""
        if self._quiet:
            return Nothing()
        return Bars(self.errors) if is_live(self.errors) else PlainLines()

    def start(self, plan: Plan, ask: bool) -> None:
        """Say which model stands in for the default one, and ask before a scripted command starts.

        Args:
            ask: whether to show the plan and ask. Without a terminal the run just starts; several processes
                are not asked either: only one of them could be answered.

        Raises:
            KeyboardInterrupt: the user said no, or Ctrl-C.
        """
        if plan.sources.model.note:
            self.errors.print(plan.sources.model.note, soft_wrap=True, markup=False)
        nobody = distributed.launched() or sys.stdin is None or not sys.stdin.isatty()
        if not ask or nobody or not is_live(self.output):
            return
        self.output.print(views.plan_panel(plan, self.output, plan_time(plan)))
        if not questionary.confirm("Start now?", default=True).unsafe_ask():
            raise KeyboardInterrupt

    def run(self, plan: AnalysisPlan | QuantizationPlan | FullPlan) -> Finished | None:
        """Run the phases of ``plan``, print each one's results as soon as it has them, and how to repeat it.

        Returns:
            The evaluation; None where Phase 1 is all that was run.
        """
        finished = None
        if isinstance(plan, AnalysisPlan):
            self.analyse(plan)
        else:
            with self.running(plan) as display:
                quantization = self._evaluated(plan, display)
            self.show(evaluation_views(quantization.result), quantization.files, quantization.result.seconds)
            finished = Finished(plan=plan, quantization=quantization)
        views.print_repeat(plan.repeat, self.output)
        return finished

    def analyse(self, plan: AnalysisPlan) -> "Analysis":
        """Run Phase 1 alone and print its results.

        Raises:
            MpqError: what the phase raises; E-SCORE when its first metric is not valid: the record is kept,
                but nothing can be decided by such scores.
        """
        with self.running(plan) as reporter:
            from bert_mpq.runs import phase_1

            analysis = phase_1.run(plan, reporter, self.session)
        self._show_analysis(analysis)
        check_scores(analysis.result.scores[0])
        return analysis

    def _evaluated(self, plan: QuantizationPlan | FullPlan, display: Display) -> "Quantization":
        from bert_mpq.runs import full_run, phase_2

        if isinstance(plan, QuantizationPlan):
            return phase_2.run(plan, display, self.session)

        def after_phase_1(analysis: "Analysis") -> None:
            with display.paused():
                self._show_analysis(analysis)

        return full_run.run(plan, display, self.session, after_phase_1).quantization

    def _show_analysis(self, analysis: "Analysis") -> None:
        shown = sensitivity_views(analysis.result, self.output)
        self.show(shown, analysis.files, analysis.result.seconds)

    def show(self, results: Iterable[RenderableType], files: Sequence[Path], seconds: float) -> None:
        """Print what a run has found, and the files it has written."""
        for view in results:
            self.output.print(view)
        self.output.print(views.files_panel(files, seconds, self.output))

    @contextlib.contextmanager
    def running(self, plan: Plan) -> Iterator[Display]:
        """Show the progress of a run; keep warnings of libraries and tracebacks of errors.

        Torch and its friends are imported when it is entered, and not before.
        """
        started = time.time()
        output, folder = plan.config.output, plan.folders[-1]
        try:
            with self.reporter() as reporter:
                if self._session is None:
                    for _ in reporter.track([None], "Start PyTorch", 1):
                        self._log.take_over(with_datasets=plan.sources.data.kind != "wheel")
                        _ = self.session
                yield reporter
        except KeyboardInterrupt:
            self.written = self.written or _left_something(plan, started)
            raise
        except Exception as error:
            if not isinstance(error, MpqError) or error.__cause__ is not None:
                self._log.add_error(error)
                self.log_file = self._log.write(output, folder)
            raise
        self.written = True
        self._log.write(output, folder)

    @property
    def session(self) -> "Session":
        """What the runs of this process share."""
        if self._session is None:
            from bert_mpq.runs.session import Session

            self._session = Session()
        return self._session


def _left_something(plan: Plan, started: float) -> bool:
    """Return whether a run that was stopped left a file: Ctrl-C can come just after the last one."""
    from bert_mpq.runs.training import has_checkpoint

    output = plan.config.output
    if EVALUATION in plan.folders and has_checkpoint(output):
        return True
    with contextlib.suppress(OSError):
        return any(
            path.stat().st_mtime >= started
            for folder in plan.folders
            for path in (user_path(output) / folder).glob("*")
        )
    return False
