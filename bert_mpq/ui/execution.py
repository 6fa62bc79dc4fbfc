"""Runs plans with progress on stderr and results on stdout, the same for the wizard and for scripts."""

import contextlib
import importlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console, RenderableType

from bert_mpq.compute import distributed
from bert_mpq.records.files import EVALUATION
from bert_mpq.records.sensitivity_file import check_scores
from bert_mpq.runs import garbage
from bert_mpq.runs.dry_run import DryRun, dry_run
from bert_mpq.runs.durations import START
from bert_mpq.runs.log import RunLog
from bert_mpq.runs.plan import AnalysisPlan, FullPlan, Plan, QuantizationPlan
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.console import is_live
from bert_mpq.ui.progress import Bars, Display, PlainLines, Undrawn
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.views.evaluation import evaluation_views
from bert_mpq.ui.views.outcome import dry_run_views, plan_seconds, plan_size, plan_time, stage_seconds
from bert_mpq.ui.views.sensitivity import sensitivity_views

if TYPE_CHECKING:
    from bert_mpq.runs.full_run import FullRun
    from bert_mpq.runs.phase_1 import Analysis
    from bert_mpq.runs.phase_2 import Quantization
    from bert_mpq.runs.session import Session


class OnlyPlannedError(Exception):
    """A dry run has come to where the run would start."""

    def __init__(self, dry_run: DryRun) -> None:
        super().__init__("a dry run")
        self.dry_run = dry_run


class Execution:
    """Keeps the session between runs, so that the FP32 evaluation is made once.

    Every run has the same shape: a plan, ``start``, ``running`` around the function that does it, ``show``.

    Args:
        output: takes results.
        errors: takes progress and errors.
        quiet: whether progress is left out.
        asks: whether a scripted command shows its plan and asks before it starts.
        dry: whether it shows its plan and leaves.
        begun: when the command began, by time.perf_counter; None where a menu comes first.
    """

    def __init__(
        self,
        output: Console,
        errors: Console,
        quiet: bool = False,
        asks: bool = True,
        dry: bool = False,
        begun: float | None = None,
    ) -> None:
        self.output = output
        self.errors = errors
        self._quiet = quiet
        self._asks = asks
        self.dry = dry
        self._begun = begun
        self._session: Session | None = None
        self._log = RunLog()
        self.written = False  # whether files of this process are on disk
        self.log_file: Path | None = None  # where the traceback of an error is

    def reporter(self, expected: Mapping[str, float] | None = None) -> Display:
        """Return what shows progress: bars on a live terminal, plain lines elsewhere, nothing when quiet.

        Args:
            expected: seconds that each stage should take, by title.
        """
        if self._quiet:
            return Undrawn()
        return Bars(self.errors, expected) if is_live(self.errors) else PlainLines(expected=expected)

    def start(self, plan: Plan) -> None:
        """Say which model stands in for the default one, and ask before a scripted command starts.

        Without a terminal the run just starts; several processes are not asked either: only one of them could
        be answered.

        Raises:
            KeyboardInterrupt: the user said no, or Ctrl-C.
            OnlyPlannedError: in a dry run.
        """
        if plan.sources.model.note:
            self.errors.print(plan.sources.model.note, soft_wrap=True, markup=False)
        if self.dry:
            self.output.print(views.plan_panel(plan, self.output))
            self.leave(dry_run(plan, plan_seconds(plan)))
        nobody = distributed.launched() or sys.stdin is None or not sys.stdin.isatty()
        if not self._asks or nobody or not self.output.is_terminal:
            return
        from bert_mpq.ui.wizard.prompts import confirm

        self.output.print(views.plan_panel(plan, self.output, plan_time(plan), plan_size(plan)))
        if not confirm("Start now?", can_go_back=False):
            raise KeyboardInterrupt
        self._begun = None  # who was asked has taken time

    def leave(self, dry_run: DryRun) -> NoReturn:
        """Show what would be done, and raise OnlyPlannedError."""
        for view in dry_run_views(dry_run):
            self.output.print(view)
        raise OnlyPlannedError(dry_run)

    def run(self, plan: AnalysisPlan | QuantizationPlan | FullPlan) -> "Analysis | Quantization | FullRun":
        """Run the phases of ``plan``, print the results of each as it has them, and how to repeat it."""
        done = self.analyse(plan) if isinstance(plan, AnalysisPlan) else self._evaluate(plan)
        views.print_repeat(plan.repeat, self.output)
        return done

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

    def _evaluate(self, plan: QuantizationPlan | FullPlan) -> "Quantization | FullRun":
        with self.running(plan) as display:
            from bert_mpq.runs import phase_2

            done: Quantization | FullRun
            if isinstance(plan, FullPlan):
                both = self._both(plan, display)
                done, quantization = both, both.quantization
            else:
                done = quantization = phase_2.run(plan, display, self.session)
        self.show(evaluation_views(quantization.result), quantization.files, quantization.result.seconds)
        return done

    def _both(self, plan: FullPlan, display: Display) -> "FullRun":
        from bert_mpq.runs import full_run

        def after_phase_1(analysis: "Analysis") -> None:
            with display.paused():
                self._show_analysis(analysis)

        return full_run.run(plan, display, self.session, after_phase_1)

    def _show_analysis(self, analysis: "Analysis") -> None:
        shown = sensitivity_views(analysis.result, self.output)
        self.show(shown, analysis.files, analysis.result.seconds)

    def write(self, text: str) -> None:
        """Write text as it stands: the console would wrap it, and replace its tabs."""
        if not self.output.quiet:
            self.output.file.write(text)

    def show(self, results: Iterable[RenderableType], files: Sequence[Path], seconds: float) -> None:
        """Print what a run has found, and the files it has written."""
        for view in results:
            self.output.print(view)
        self.output.print(views.files_panel(files, seconds, self.output))

    @contextlib.contextmanager
    def running(self, plan: Plan) -> Iterator[Display]:
        """Show the progress of a run; keep warnings of libraries and tracebacks of errors.

        Torch and its friends are imported when it is entered, and not before; that is the run's first stage.
        """
        begun, self._begun = self._begun, None
        started = time.time()
        output, folder = plan.config.output, plan.folders[-1]
        try:
            with self.reporter(stage_seconds(plan)) as reporter:
                if self._session is None:
                    begun = reporter.clock() if begun is None else begun
                    for _ in reporter.track([None], START, 1):
                        with garbage.left_alone():
                            self._log.take_over(with_datasets=plan.sources.data.kind != "wheel")
                            _import_phases(plan)
                    self.session.clock.restart(reporter.clock, begun)
                    self.session.clock.lap(START)
                else:
                    self.session.clock.restart(reporter.clock)
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


def _import_phases(plan: Plan) -> None:
    """Import the phases that the run has: training and its libraries are none of Phase 1's."""
    if isinstance(plan, AnalysisPlan):
        importlib.import_module("bert_mpq.runs.phase_1")
    else:
        importlib.import_module("bert_mpq.runs.full_run")


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
