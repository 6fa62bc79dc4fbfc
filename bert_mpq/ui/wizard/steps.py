"""A list of questions with a way back.

The state is the ``RunConfig`` itself: every answer gives a new one, and Esc returns to the one before, so an
answer that was taken back cannot leak.

Adding a step: write ``ask(config, title, earlier)`` with ``choose`` or ``ask_text`` of
``bert_mpq.ui.choices``, wrap it in a ``Step`` and put that into ``phase_1_steps`` or ``phase_2_steps`` of
``bert_mpq.ui.questions``. Take the default from ``earlier``, everything else from ``config``; a default that
cannot be chosen gives way by itself. With ``when`` the step is asked only if the answers so far call for it
(``when=lambda config: config.strategy == "budget"``); numbering and Esc follow. A flag of the step's
``field`` on the command line answers it. ``tests/ui/test_widths.py`` holds every step to the width budget.

Adding something to do after an evaluation: an ``Offer`` in ``bert_mpq.ui.offers``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import questionary
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings

from bert_mpq.settings.config import RunConfig


class Back:
    """The answer to a question that the user left with Esc."""


BACK: Final = Back()
INSTRUCTION = "(arrows, Enter; Esc goes back)"
Ask = Callable[[RunConfig, str, RunConfig], RunConfig | Back]


def always(_: RunConfig) -> bool:
    """Ask whatever was answered before."""
    return True


@dataclass(frozen=True, kw_only=True)
class Step:
    """One question.

    Args:
        name: title, as the guide calls it.
        ask: takes the configuration so far, the prompt, and the configuration to take the default from (this
            step's last answer, or a remembered run); returns the new configuration, or BACK.
        field: the flag that answers it, so that a flag given on the command line skips it.
        when: whether the answers so far call for it.
    """

    name: str
    ask: Ask
    field: str
    when: Callable[[RunConfig], bool] = always


class Walk:
    """Asks the steps that apply, one after another; Esc goes back one, from the first one out.

    Args:
        steps: the questions.
        config: the configuration to start from.
        remembered: an earlier run, whose answers are the defaults.
    """

    def __init__(self, steps: Sequence[Step], config: RunConfig, remembered: RunConfig) -> None:
        self._steps = steps
        self._config = config
        self._earlier = [remembered] * len(steps)
        self._asked: list[tuple[int, RunConfig]] = []  # each with the configuration it started from

    def forward(self, index: int = 0) -> RunConfig | Back:
        """Ask from step ``index`` to the end; return the configuration, or BACK from the first step.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D.
        """
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
        return self._steps[index].when(self._config)


def ask(question: questionary.Question) -> Any:
    """Ask one question; return its answer, or BACK on Esc.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        EOFError: Ctrl-D.
    """
    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: KeyPressEvent) -> None:
        event.app.erase_when_done = True  # the question that was left is asked again later
        event.app.exit(result=BACK)

    @keys.add("c-d", eager=True)
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError())

    application = question.application
    present = application.key_bindings
    application.key_bindings = merge_key_bindings([present, keys]) if present else keys
    application.ttimeoutlen = 0.1  # Esc alone must feel instant
    return question.unsafe_ask()
