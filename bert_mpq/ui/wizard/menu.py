"""The menu: questions, plan, confirm, run, results."""

from pathlib import Path
from typing import Literal, cast

from rich.console import Console, RenderableType
from rich.rule import Rule
from rich.text import Text

from bert_mpq import __version__
from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.json_file import readable
from bert_mpq.records.sensitivity_file import list_sensitivity_files, read_sensitivities
from bert_mpq.runs.compare import compare
from bert_mpq.runs.plan import AnalysisPlan, FullPlan, Phase, QuantizationPlan, Sources
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.source_settings import OF_DATA
from bert_mpq.sources.columns import UnclearData
from bert_mpq.sources.embedded.bases import SMALL
from bert_mpq.ui.console import error_console, is_accessible, is_utf8, require_terminal, working
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.data_step import ask_unclear, print_understood
from bert_mpq.ui.wizard.finished import Finished, evaluation_of
from bert_mpq.ui.wizard.prompts import Back, Option, choose, confirm, rows_of
from bert_mpq.ui.wizard.remembered import remembered
from bert_mpq.ui.wizard.settings import SETTINGS, change_settings, model_text
from bert_mpq.ui.wizard.steps import Step, Walk
from bert_mpq.ui.wizard.wording import tell

TITLE = "Mixed-precision quantization of BERT classifiers"
Entry = Literal["sensitivity", "quantize", "run", "compare", "settings", "exit"]
ENTRIES: tuple[tuple[str, Entry, str], ...] = (
    ("Phase 1: Sensitivity Analysis", "sensitivity", "Score every encoder layer. Writes Sensitivities/"),
    ("Phase 2: Quantization & Evaluation", "quantize", "Give each layer its bits, measure the accuracy"),
    ("Full pipeline (Phase 1 + Phase 2)", "run", "Both. Writes Sensitivities/ and Evaluation/"),
    ("Compare results", "compare", "The evaluations in Evaluation/, best accuracy first"),
    ("Settings (model, data, device)", "settings", "Also the length of the reviews and the output folder"),
    ("Exit", "exit", "Ctrl-C leaves at any time"),
)


def header(config: RunConfig, console: Console) -> list[RenderableType]:
    """Return the lines that open the menu: what it is, and what is in use."""
    name, line = f"bert-mpq {__version__}", "─" if is_utf8(console) else "-"
    top = name if is_accessible() else Rule(name, align="left", style="none", characters=line)
    return [top, TITLE, setting_line(config, console), ""]


def setting_line(config: RunConfig, console: Console) -> Text:
    """Return model, data and device in use, and the other settings where they are not the defaults."""
    facts = [
        f"model {model_text(config.model)}",
        f"data {'imdb' if config.data == 'imdb' else Path(config.data).name}",
        f"device {accelerator() if config.device == 'auto' else config.device}",
    ]
    facts += [f"max length {config.max_length}"] if config.max_length else []
    facts += [f"output {config.output}"] if config.output != "." else []
    between = ", " if is_accessible() else " · " if is_utf8(console) else " | "
    return Text(between.join(facts), overflow="fold")


class Wizard:
    """The menu over one session.

    Args:
        config: what the command line said; the rest is asked.
        given: fields that the command line answered: their steps are skipped.
        output: console for screens and results.
        execution: runs phases and shows them.
    """

    def __init__(
        self, *, config: RunConfig, given: frozenset[str], output: Console, execution: Execution
    ) -> None:
        last = remembered(config.output)
        settings = {step.field for step in SETTINGS if flags.FLAGS[step.field].remembered} | {*OF_DATA}
        # What was said of the columns of other data does not hold for data that is named now.
        unsaid = settings - given - {*(OF_DATA if "data" in given else ())}
        self._config = config.replace(**{name: getattr(last, name) for name in unsaid})
        self._given = given
        self._output = output
        self._execution = execution

    def open(self) -> None:
        """Show the menu until the user leaves it.

        Raises:
            UsageError: E-TERMINAL.
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D.
        """
        require_terminal()
        for line in header(self._config, self._output):
            self._output.print(line)
        entry: Entry = "sensitivity"
        while True:
            entry = self._menu(entry)
            if entry == "exit":
                return
            try:
                self._enter(entry)
            except MpqError as error:
                tell(error, error_console())

    def _menu(self, default: Entry) -> Entry:
        while True:
            answer = choose(
                "What would you like to do?", self._entries(), default, "(arrows, Enter)", back=False
            )
            if not isinstance(answer, Back):  # there is nothing to go back to: only Exit and Ctrl-C leave
                return cast(Entry, answer)

    def _entries(self) -> list[Option]:
        files = list_sensitivity_files(self._config.output)
        no_file = "no sensitivity file can be read" if files else "no sensitivity file yet"
        unfit = {
            "quantize": "" if readable(files, read_sensitivities) else no_file,
            "compare": "" if compare(self._config.output).groups else "no reports yet",
        }
        return rows_of(*((title, value, text, unfit.get(value, "")) for title, value, text in ENTRIES))

    def _enter(self, entry: Entry) -> None:
        if entry == "compare":
            from bert_mpq.ui.views.comparison import comparison_views

            for view in comparison_views(compare(self._config.output), self._output):
                self._output.print(view)
            self._output.print()
        elif entry == "settings":
            self._config = change_settings(self._config)
            self._output.print(setting_line(self._config, self._output))
        else:
            self._phase(cast(Phase, entry))

    def _phase(self, phase: Phase) -> None:
        sources = self._sources(phase)
        if sources is None:
            return
        if sources.model.note:
            self._output.print(sources.model.note, markup=False)
            from bert_mpq.runs.find_sources import named

            self._config = named(self._config, sources.model.name)  # said once
            self._output.print(setting_line(self._config, self._output))
        plan = self._ask(phase, sources)
        if plan is None:
            return
        finished = self._run(plan, phase)
        self._output.print()
        if finished is not None:
            from bert_mpq.ui.wizard.offers import offer

            offer(finished, self._execution)

    def _sources(self, phase: Phase) -> Sources | None:
        """Find model and data, and ask what is unclear of them; None when the user went back."""
        from bert_mpq.runs.find_sources import StandInError, find_sources

        while True:
            try:
                with working(self._output, "Looking for model and data"):
                    sources = find_sources(self._config, phase)
            except StandInError as error:
                tell(error, error_console())
                if confirm("Measure the embedded classifier instead?", default=False) is not True:
                    return None
                self._config = self._config.replace(model=SMALL.name)
            except UnclearData as unclear:
                answered = ask_unclear(unclear, self._config, self._output)
                if isinstance(answered, Back):
                    return None
                self._config = answered
            else:
                print_understood(sources.data, self._output)
                return sources

    def _run(self, plan: AnalysisPlan | QuantizationPlan | FullPlan, phase: Phase) -> Finished | None:
        """Run a plan; where the labels look swapped, ask and run it again with the opposite meaning."""
        try:
            return evaluation_of(plan, self._execution.run(plan))
        except MpqError as error:
            if error.code != "E-LABELS":
                raise
            tell(error, error_console())
        if confirm("Take the outputs to mean the opposite?") is not True:
            return None
        from bert_mpq.runs.make_plan import make_plan

        swapped = not plan.config.swap_labels
        self._config = self._config.replace(swap_labels=swapped)
        again = make_plan(plan.config.replace(swap_labels=swapped), phase)
        return evaluation_of(again, self._execution.run(again))

    def _ask(self, phase: Phase, sources: Sources) -> AnalysisPlan | QuantizationPlan | FullPlan | None:
        """Return the confirmed plan, or None when the user went back to the menu."""
        from bert_mpq.runs.make_plan import make_plan
        from bert_mpq.ui.views.outcome import plan_size, plan_time

        walk = Walk(self._steps(phase, sources), self._config, remembered(self._config.output))
        config = walk.forward()
        while not isinstance(config, Back):
            plan = make_plan(config, phase, sources)
            self._output.print(views.plan_panel(plan, self._output, plan_time(plan), plan_size(plan)))
            start = confirm("Start now?")
            if not isinstance(start, Back):
                return plan if start else None
            config = walk.back()
        return None

    def _steps(self, phase: Phase, sources: Sources) -> list[Step]:
        from bert_mpq.ui.wizard.questions import phase_1_steps, phase_2_steps

        first = [] if phase == "quantize" else phase_1_steps(sources)
        second = [] if phase == "sensitivity" else phase_2_steps(sources, with_file=phase == "quantize")
        return [step for step in (*first, *second) if step.field not in self._given]
