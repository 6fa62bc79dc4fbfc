"""Runs a plan with progress on stderr and results on stdout, the same for the wizard and for scripts."""

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import questionary
from rich.console import Console

from bert_mpq.allocation.budget import Budget, make_budget
from bert_mpq.compute import distributed
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.files import EVALUATION, SENSITIVITIES
from bert_mpq.records.sensitivity_file import check_scores
from bert_mpq.records.width_scores import read_width_scores
from bert_mpq.runs.log import RunLog
from bert_mpq.runs.plan import Plan, make_plan
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.console import is_live
from bert_mpq.ui.progress import Bars, Unmanaged, make_reporter
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.views.budget import budget_views
from bert_mpq.ui.views.evaluation import evaluation_views
from bert_mpq.ui.views.sensitivity import sensitivity_views
from bert_mpq.ui.views.timing import plan_time
from bert_mpq.ui.views.validation import validation_views

if TYPE_CHECKING:
    from bert_mpq.runs.phase_1 import Analysis
    from bert_mpq.runs.phase_2 import Quantization
    from bert_mpq.runs.session import Session


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that is done.

    Args:
        plan: what was run.
        analysis: Phase 1; None when it was not run.
        quantization: Phase 2; None when it was not run.
    """

    plan: Plan
    analysis: "Analysis | None" = None
    quantization: "Quantization | None" = None


class Execution:
    """Keeps the session between runs, so that the FP32 evaluation is made once."""

    def __init__(self, output: Console, errors: Console, quiet: bool = False) -> None:
        self.output = output
        self.errors = errors
        self._quiet = quiet
        self._session: Session | None = None
        self._log = RunLog()
        self.written = False  # whether files of this process are on disk
        self.log_file: Path | None = None  # where the traceback of an error is

    def reporter(self) -> "Bars | Unmanaged":
        """Return what shows the progress of a run, as a context manager."""
        return make_reporter(self.errors, self._quiet)

    def confirm(self, plan: Plan) -> None:
        """Show the plan and ask before a scripted command starts; without a terminal just start.

        Several processes are not asked: only one of them could be answered.

        Raises:
            KeyboardInterrupt: the user said no, or Ctrl-C.
        """
        if distributed.launched() or not is_live(self.output) or sys.stdin is None or not sys.stdin.isatty():
            return
        self.output.print(views.plan_panel(plan, self.output, plan_time(plan)))
        if not questionary.confirm("Start now?", default=True).unsafe_ask():
            raise KeyboardInterrupt

    def run(self, plan: Plan) -> Finished:
        """Run the phases of ``plan`` and print each one's results as soon as it has them.

        Raises:
            MpqError: what the pipeline raises.
        """
        if plan.phase == "quantize":
            return Finished(plan=plan, quantization=self._quantize(plan))
        analysis = self._analyse(plan)
        if plan.phase == "sensitivity":
            return Finished(plan=plan, analysis=analysis)
        second = plan.config.replace(sensitivities=str(analysis.deciding_file(plan.config)))
        note = analysis.deciding_note(plan.config)
        if note:
            self.output.print(note)
        quantization = self._quantize(make_plan(second, "quantize", plan.sources))
        return Finished(plan=plan, analysis=analysis, quantization=quantization)

    def measure_widths(self, plan: Plan) -> str:
        """Run Phase 1 at several widths; return the file of its scores.

        Raises:
            MpqError: what the pipeline raises.
        """
        return str(self._analyse(plan).deciding_file(plan.config))

    def plan_budget(self, config: RunConfig) -> Budget:
        """Print the best bits for the target of ``config``, beside the clusterings at that size.

        Returns:
            What the plan was chosen from.

        Raises:
            MpqError: E-BUDGET, E-SCORE, or what reading the scores and evaluating plans raise.
        """
        if config.goal.kind == "drop":
            plan = make_plan(config, "quantize")
            with self.running(plan, EVALUATION) as reporter:
                from bert_mpq.runs.accuracy_search import find_allocation

                bits = find_allocation(plan, self.session, reporter).bits
            budget = plan.budget
            assert budget is not None
            assignment = budget.assignment(bits)
        else:
            assert config.sensitivities is not None
            budget = make_budget(config, read_width_scores(config.sensitivities))
            assignment = budget.best(config.goal)
        for view in budget_views(budget, assignment):
            self.output.print(view)
        return budget

    def validate(self, config: RunConfig) -> RunConfig:
        """Compare the scores with the damage and print the verdict; return what was run.

        Raises:
            MpqError: what the pipeline raises.
        """
        with make_reporter(self.errors, self._quiet) as reporter:
            from bert_mpq.runs.validate import validate

            validation = validate(config, reporter, self.session)
        self.written = True
        for view in validation_views(validation.result):
            self.output.print(view)
        self.output.print(views.files_panel([validation.file], validation.result.seconds, self.output))
        return validation.result.config

    def _analyse(self, plan: Plan) -> "Analysis":
        with self.running(plan, SENSITIVITIES) as reporter:
            from bert_mpq.runs.phase_1 import analyse

            analysis = analyse(plan.config, reporter, self.session, plan)
        for view in sensitivity_views(analysis.result, self.output):
            self.output.print(view)
        self.output.print(views.files_panel(analysis.files, analysis.result.seconds, self.output))
        # The record is kept, but nothing can be decided by scores that are not valid.
        alone = plan.phase == "sensitivity"
        check_scores(analysis.result.scores[0] if alone else analysis.deciding_scores(plan.config))
        return analysis

    def _quantize(self, plan: Plan) -> "Quantization":
        with self.running(plan, EVALUATION) as reporter:
            from bert_mpq.runs.phase_2 import quantize_and_evaluate
            from bert_mpq.runs.training import has_checkpoint

            try:
                quantization = quantize_and_evaluate(plan.config, reporter, self.session, plan)
            except BaseException:
                self.written = self.written or has_checkpoint(plan.config.output)
                raise
        for view in evaluation_views(quantization.result):
            self.output.print(view)
        self.output.print(views.files_panel(quantization.files, quantization.result.seconds, self.output))
        return quantization

    @contextlib.contextmanager
    def running(self, plan: Plan, folder: str) -> Iterator[Reporter]:
        """Show the progress of what writes ``folder``; keep warnings of libraries and tracebacks of errors.

        Torch and its friends are imported when it is entered, and not before.
        """
        started = time.time()
        output = plan.config.output
        try:
            with make_reporter(self.errors, self._quiet) as reporter:
                if self._session is None:
                    for _ in reporter.track([None], "Start PyTorch", 1):
                        self._log.take_over(with_datasets=plan.sources.data.kind != "wheel")
                        _ = self.session
                yield reporter
        except KeyboardInterrupt:
            self.written = self.written or _touched(user_path(output) / folder, started)
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


def _touched(folder: Path, since: float) -> bool:
    """Return whether a file was written in ``folder`` since then: Ctrl-C can come just after the last one."""
    try:
        return any(path.stat().st_mtime >= since for path in folder.iterdir())
    except OSError:
        return False
