"""A list of questions with a way back.

The state is the ``RunConfig`` itself: every answer gives a new one, and Esc returns to the one before, so an
answer that was taken back cannot leak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import questionary
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings

from bert_mpq.config import RunConfig


class Back:
    """The answer to a question that the user left with Esc."""


BACK: Final = Back()
INSTRUCTION = "(arrows, Enter; Esc goes back)"
Ask = Callable[[RunConfig, str], RunConfig | Back]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One question.

    Args:
        name: title, as the guide calls it.
        ask: takes the configuration so far and the prompt; returns the new one, or BACK.
        field: the flag that answers it, so that a flag given on the command line skips it.
    """

    name: str
    ask: Ask
    field: str


def walk(steps: Sequence[Step], config: RunConfig, start_at_end: bool = False) -> RunConfig | Back:
    """Ask every step that applies, in order; Esc goes back one, from the first one out.

    Args:
        steps: the questions.
        config: the configuration to start from.
        start_at_end: skip to the last step with what ``config`` holds: the way back from the plan.
    """
    index = len(steps) - 1 if start_at_end else 0
    before = [config] * index  # the configuration each asked step started from
    while True:
        if index >= len(steps):
            return config
        answer = steps[index].ask(config, f"Step {index + 1} of {len(steps)}  {steps[index].name}")
        if not isinstance(answer, Back):
            before.append(config)
            config, index = answer, index + 1
        elif before:
            config, index = before.pop(), index - 1
        else:
            return BACK


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
