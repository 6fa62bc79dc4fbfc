"""Runs a plan with progress on stderr and results on stdout, the same for the wizard and for scripts."""

import sys
from typing import TYPE_CHECKING

import questionary
from rich.console import Console

from bert_mpq.planning import Plan, make_plan
from bert_mpq.ui import views
from bert_mpq.ui.console import is_live
from bert_mpq.ui.evaluation_view import evaluation_views
from bert_mpq.ui.progress import make_reporter
from bert_mpq.ui.sensitivity_view import sensitivity_views

if TYPE_CHECKING:
    from bert_mpq.session import Session


class Execution:
    """Keeps the session between runs, so that the FP32 evaluation is made once."""

    def __init__(self, output: Console, errors: Console, quiet: bool = False) -> None:
        self.output = output
        self.errors = errors
        self._quiet = quiet
        self._session: Session | None = None
        self.written = False  # whether files of this process are on disk

    def confirm(self, plan: Plan) -> None:
        """Show the plan and ask before a scripted command starts; without a terminal just start.

        Raises:
            KeyboardInterrupt: the user said no, or Ctrl-C.
        """
        if not is_live(self.output) or sys.stdin is None or not sys.stdin.isatty():
            return
        self.output.print(views.plan_panel(plan, self.output))
        if not questionary.confirm("Start now?", default=True).unsafe_ask():
            raise KeyboardInterrupt

    def run(self, plan: Plan) -> None:
        """Run the phases of ``plan`` and print each one's results as soon as it has them.

        Raises:
            MpqError: what the pipeline raises.
        """
        if plan.phase == "quantize":
            self._quantize(plan)
            return
        first = self._analyse(plan)
        if plan.phase == "run":
            second = plan.config.replace(sensitivities=first)
            self._quantize(make_plan(second, "quantize", plan.sources))

    def _analyse(self, plan: Plan) -> str:
        with make_reporter(self.errors, self._quiet) as reporter:
            from bert_mpq.pipeline import analyse  # torch and its friends are imported only now

            analysis = analyse(plan.config, reporter, self._shared(), plan)
        self.written = True
        for view in sensitivity_views(analysis.result, self.output):
            self.output.print(view)
        self.output.print(views.files_panel(analysis.files, analysis.result.seconds, self.output))
        return str(analysis.deciding_file)

    def _quantize(self, plan: Plan) -> None:
        with make_reporter(self.errors, self._quiet) as reporter:
            from bert_mpq.pipeline import quantize_and_evaluate

            quantization = quantize_and_evaluate(plan.config, reporter, self._shared(), plan)
        self.written = True
        for view in evaluation_views(quantization.result):
            self.output.print(view)
        self.output.print(views.files_panel(quantization.files, quantization.result.seconds, self.output))

    def _shared(self) -> "Session":
        if self._session is None:
            from bert_mpq.session import Session

            self._session = Session()
        return self._session
