"""Questions as data, asked one after another with a way back.

The state is the ``RunConfig`` itself: every answer gives a new one, and Esc returns to the one before, so an
answer that was taken back cannot leak.

Adding a question: a field in ``bert_mpq.settings.config`` (there ``remembered`` makes the last answer the
default), and a ``Step`` in ``phase_1_steps`` or ``phase_2_steps`` of ``bert_mpq.ui.wizard.questions``, or in
``SETTINGS`` of ``bert_mpq.ui.wizard.settings``. A name, a field and ``options`` are enough. With ``when`` it
is asked only if the answers so far call for it (``when=lambda config: config.clustering == "budget"``);
numbering and Esc follow. A flag given on the command line answers it. ``tests/ui/test_widths.py`` walks all
steps and holds every row to the width of a screen.

Adding something to do after an evaluation: an ``Offer`` in ``bert_mpq.ui.wizard.offers``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import ErrorCode, MpqError, UsageError
from bert_mpq.ui.console import error_console, output_console, working
from bert_mpq.ui.wizard.prompts import BACK, Back, Option, ask_text, choose, problem_of, rows_of
from bert_mpq.ui.wizard.wording import tell

CUSTOM = "custom"  # the value of the row that leads to a line to type
Options = Callable[[RunConfig], Sequence[Option]]


def menu(*rows: tuple[str, Any, str]) -> Options:
    """Return options that do not depend on the answers so far, from titles, values and descriptions."""
    return lambda config: rows_of(*rows)


def read_name(config: RunConfig, text: str) -> str:
    """Return a typed name or path; raises UsageError E-CONFIG when nothing was typed."""
    if not text.strip():
        raise UsageError("E-CONFIG", "Type a name or a path.")
    return text.strip()


@dataclass(frozen=True, kw_only=True)
class Step:
    """One question: a menu, a line to type, or a menu with a row that leads to a line.

    Args:
        name: title, as the guide calls it.
        field: the field it sets; a flag of that name on the command line answers it.
        options: the rows of the menu, for the configuration so far.
        line: the prompt of a line to type, for the configuration so far: behind the row ``CUSTOM``, or alone.
        read: turns the typed line into an answer; the MpqError that it raises is shown at the prompt.
        last: the answer to begin with, for the configuration so far and the one that was answered last (of
            this step, or of a remembered run); None where there is none. Default: what the latter has.
        take: the configuration that follows from an answer. Default: the field is set to it.
        check: raises MpqError for a configuration that will not do: it is shown, and the step asked again.
        remark: what follows from a typed answer, in one line under it.
        settle: asks further what the answer leaves open; returns the configuration, or BACK to ask it again.
        shown: writes an answer as a line to type, or in the list of settings.
        about: what it is for, in the list of settings.
        when: whether the answers so far call for the step.
        code: of the error when no row can be chosen.
        hint: what to do then.
    """

    name: str
    field: str
    options: Options | None = None
    line: Callable[[RunConfig], str] | None = None
    read: Callable[[RunConfig, str], Any] = read_name
    last: Callable[[RunConfig, RunConfig], Any] | None = None
    take: Callable[[RunConfig, Any], RunConfig] | None = None
    check: Callable[[RunConfig], object] | None = None
    remark: Callable[[RunConfig], str] | None = None
    settle: Callable[[RunConfig], RunConfig | Back] | None = None
    shown: Callable[[Any], str] = str
    about: str = ""
    when: Callable[[RunConfig], bool] | None = None
    code: ErrorCode = "E-DATA-SIZE"
    hint: str = "Take more reviews."

    def ask(self, config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        """Ask until an answer will do; return the configuration that follows from it, or BACK.

        Args:
            earlier: the configuration that was answered last.

        Raises:
            MpqError: ``code``, when no row can be chosen.
        """
        last = self.last(config, earlier) if self.last else getattr(earlier, self.field)
        prompt = self.line(config) if self.line else ""
        if self.options is None:
            return self._typed(config, prompt, last)
        while True:
            options = self.options(config)
            own = bool(prompt) and last not in (None, *(option.value for option in options))
            answer = choose(title, options, CUSTOM if own else last, code=self.code, hint=self.hint)
            if isinstance(answer, Back):
                return answer
            if prompt and answer == CUSTOM:
                changed = self._typed(config, prompt, last if own else None)
            else:
                changed = self._accepted(config, answer)
            if not isinstance(changed, Back):
                return changed

    def _typed(self, config: RunConfig, prompt: str, last: Any) -> RunConfig | Back:
        """Ask for the line until the text will do; it begins with the last answer if that was typed."""
        text = "" if last is None and self.options else self.shown(last)
        while True:
            text = ask_text(prompt, lambda typed: problem_of(lambda: self.read(config, typed)), text)
            if isinstance(text, Back):
                return text
            changed = self._accepted(config, self.read(config, text))
            if isinstance(changed, Back):
                continue
            if self.remark is not None:
                output_console().print(f"  {self.remark(changed)}", markup=False)
            return changed

    def _accepted(self, config: RunConfig, answer: Any) -> RunConfig | Back:
        """Return what follows from an answer; BACK where it will not do, with the reason on screen."""
        try:
            changed = self.take(config, answer) if self.take else config.replace(**{self.field: answer})
            if self.check is not None:
                with working(error_console(), "Checking"):
                    self.check(changed)
            return changed if self.settle is None else self.settle(changed)
        except MpqError as error:
            tell(error, error_console())
            return BACK


class Walk:
    """Asks the steps that apply, one after another; Esc goes back one, from the first one out.

    Args:
        remembered: an earlier run, whose answers are the defaults.
    """

    def __init__(self, steps: Sequence[Step], config: RunConfig, remembered: RunConfig) -> None:
        self._steps = steps
        self._config = config
        self._earlier = [remembered] * len(steps)
        self._asked: list[tuple[int, RunConfig]] = []  # each with the configuration it started from

    def forward(self, index: int = 0) -> RunConfig | Back:
        """Ask from step ``index`` to the end; return the configuration, or BACK from the first step."""
        while True:
            applies = [later for later in range(index, len(self._steps)) if self._applies(later)]
            if not applies:
                return self._config
            index = applies[0]
            number, total = len(self._asked) + 1, len(self._asked) + len(applies)
            step = self._steps[index]
            answer = step.ask(self._config, f"Step {number} of {total}  {step.name}", self._earlier[index])
            if not isinstance(answer, Back):
                self._earlier[index] = answer
                self._asked.append((index, self._config))
                self._config, index = answer, index + 1
            elif self._asked:
                index, self._config = self._asked.pop()
            else:
                return BACK

    def back(self) -> RunConfig | Back:
        """Ask the last answered step again and go on; BACK when none was asked."""
        if not self._asked:
            return BACK
        index, self._config = self._asked.pop()
        return self.forward(index)

    def _applies(self, index: int) -> bool:
        when = self._steps[index].when
        return when is None or when(self._config)
