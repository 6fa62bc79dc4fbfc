"""A menu to choose from and a line to type, with a way back."""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import questionary

from bert_mpq.errors import ErrorCode, MpqError
from bert_mpq.ui.console import symbol
from bert_mpq.ui.steps import INSTRUCTION, ask


@dataclass(frozen=True, kw_only=True)
class Option:
    """A row of a menu; with ``disabled`` it is shown with the reason and cannot be chosen."""

    title: str
    value: Any
    description: str = ""
    disabled: str = ""


def choose(
    message: str,
    options: Sequence[Option],
    default: Any,
    instruction: str = INSTRUCTION,
    code: ErrorCode = "E-DATA-SIZE",
    hint: str = "Take more reviews.",
) -> Any:
    """Ask for one of ``options``; a default that cannot be chosen gives way to the first that can.

    Raises:
        MpqError: ``code`` with ``hint`` when none can be chosen.
    """
    columns = shutil.get_terminal_size().columns
    if len(f"? {message} {instruction}") > columns:
        instruction = "(Esc goes back)" if "Esc" in instruction else ""
    choices = [
        questionary.Choice(
            option.title,
            value=option.value,
            description=_wrapped(option.description, columns) or None,
            disabled=_shortened(option, columns) or None,
        )
        for option in options
    ]
    enabled = [choice for choice in choices if not choice.disabled]
    if not enabled:
        reason = options[0].disabled if options else "there is none"
        raise MpqError(code, f"{message.split('  ')[-1]}: nothing can be chosen ({reason}).", hint)
    chosen = next((choice for choice in enabled if choice.value == default), enabled[0])
    many = len(options) > 15
    question = questionary.select(
        message,
        choices=choices,
        default=chosen,
        instruction=instruction,
        pointer=symbol("»", ">"),
        use_search_filter=many,
        use_jk_keys=not many,
    )
    if all(len(f"? {message} {option.title}") < columns for option in options):
        return ask(question)
    question.application.erase_when_done = True
    answer = ask(question)
    for option in options:
        if option.value == answer:
            _print_answered(f"{message} {option.title}", columns)
    return answer


def _print_answered(line: str, columns: int) -> None:
    """Show an answered question broken between words: its own line would break anywhere."""
    text = textwrap.fill(line, columns - 1, initial_indent="? ", subsequent_indent="  ")
    questionary.print(text, style="bold")


def _wrapped(description: str, columns: int) -> str:
    """Break a description into lines: the list would cut it off."""
    lines = textwrap.wrap(description, max(20, columns - 3), initial_indent=" " * len("Description: "))
    return "\n  ".join(lines).strip()


def _shortened(option: Option, columns: int) -> str:
    """Return the reason why an option is disabled, in what room its title leaves."""
    room = max(12, columns - len(f"   - {option.title} ()") - 1)
    return textwrap.shorten(option.disabled, room, placeholder="...") if option.disabled else ""


def ask_text(message: str, check: Callable[[str], str], default: str = "") -> Any:
    """Ask for a line; ``check`` returns what is wrong with it, or ""."""
    # In the message: questionary sets its own instruction apart by two blanks.
    question = questionary.text(
        f"{message} (Esc goes back)", default=default, validate=lambda text: check(text) or True
    )
    return ask(question)
