"""The menu: questions, plan, confirm, run, results."""

from dataclasses import dataclass
from typing import cast

import questionary
from rich.console import Console
from rich.rule import Rule

from bert_mpq import __version__, flags
from bert_mpq.config import RunConfig
from bert_mpq.errors import MpqError
from bert_mpq.planning import Phase, Plan, Sources, find_sources, make_plan
from bert_mpq.sources.classifiers import DEFAULT_MODEL
from bert_mpq.sources.hardware import accelerator
from bert_mpq.ui import views
from bert_mpq.ui.choices import Option, choose
from bert_mpq.ui.console import error_console, require_terminal, symbol
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.offers import offer
from bert_mpq.ui.questions import file_options, phase_1_steps, phase_2_steps
from bert_mpq.ui.steps import Back, Step, Walk, ask

EXIT = "exit"


@dataclass(frozen=True, kw_only=True)
class Wizard:
    """The menu over one session.

    Args:
        config: what the command line said; the rest is asked.
        given: fields that the command line answered: their steps are skipped.
        output: console for screens and results.
        execution: runs phases and shows them.
    """

    config: RunConfig
    given: frozenset[str]
    output: Console
    execution: Execution

    def open(self) -> None:
        """Show the menu until the user leaves it.

        Raises:
            UsageError: E-TERMINAL.
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D.
        """
        require_terminal()
        self._header()
        while True:
            phase = self._menu()
            if phase is None:
                return
            try:
                self._phase(phase)
            except MpqError as error:
                views.print_error(error, error_console())

    def _header(self) -> None:
        model = DEFAULT_MODEL if self.config.model == "default" else self.config.model
        device = accelerator() if self.config.device == "auto" else self.config.device
        self.output.print(Rule(f"bert-mpq {__version__}", align="left", style="none"))
        self.output.print("Mixed-precision quantization of BERT classifiers")
        facts = (f"model {model}", f"data {self.config.data}", f"device {device}")
        self.output.print(f" {symbol('·', '|')} ".join(facts), markup=False)
        self.output.print()

    def _menu(self) -> Phase | None:
        usable = any(not option.disabled for option in file_options(self.config, None))
        options = [
            Option(
                title="Phase 1: Sensitivity Analysis",
                value="sensitivity",
                description="Score every encoder layer. Writes Sensitivities/",
            ),
            Option(
                title="Phase 2: Quantization & Evaluation",
                value="quantize",
                description="Give each layer its bits, measure the accuracy",
                disabled="" if usable else "no sensitivity file yet",
            ),
            Option(
                title="Full pipeline (Phase 1 + Phase 2)",
                value="run",
                description="Both. Writes Sensitivities/ and Evaluation/",
            ),
            Option(title="Exit", value=EXIT),
        ]
        answer = choose("What would you like to do?", options, "sensitivity", "(arrows, Enter; Ctrl-C quits)")
        return None if answer == EXIT or isinstance(answer, Back) else cast(Phase, answer)

    def _phase(self, phase: Phase) -> None:
        with self.output.status("Looking for model and data"):
            sources = find_sources(self.config, phase)
        if sources.model.note:
            self.output.print(sources.model.note, soft_wrap=True, markup=False)
        plan = self._ask(phase, sources)
        if plan is None:
            return
        finished = self.execution.run(plan)
        repeat = flags.command_line(phase, flags.relevant(phase, plan.config))
        views.print_repeat(repeat, self.output)
        self.output.print()
        if finished.quantization is not None:
            offer(finished, self.execution)

    def _ask(self, phase: Phase, sources: Sources) -> Plan | None:
        """Return the confirmed plan, or None when the user went back to the menu."""
        steps = self._steps(phase, sources)
        walk = Walk(steps, self.config, self.config)
        config = walk.forward()
        while not isinstance(config, Back):
            plan = make_plan(config, phase, sources)
            self.output.print(views.plan_panel(plan, self.output))
            start = ask(questionary.confirm("Start now?", default=True))
            if not isinstance(start, Back):
                return plan if start else None
            config = walk.back()
        return None

    def _steps(self, phase: Phase, sources: Sources) -> list[Step]:
        first = [] if phase == "quantize" else phase_1_steps(sources)
        second = [] if phase == "sensitivity" else phase_2_steps(sources, with_file=phase == "quantize")
        return [step for step in (*first, *second) if step.field not in self.given]
