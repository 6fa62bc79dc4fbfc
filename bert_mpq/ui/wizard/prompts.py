"""A menu to choose from, a line to type and a yes or no, with a way back: Esc, and the row ``Back``.

Ctrl-C raises KeyboardInterrupt, Ctrl-D EOFError.
"""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import questionary
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings

from bert_mpq.settings.errors import ErrorCode, MpqError
from bert_mpq.ui.console import is_accessible, symbol
from bert_mpq.ui.wizard.numbered import choose_number, confirm_line, type_line


class Back:
    """The answer to a question that the user left with Esc."""


BACK: Final = Back()
INSTRUCTION = "(arrows, Enter; Esc goes back)"


@dataclass(frozen=True, kw_only=True)
class Option:
    """A row of a menu; with ``disabled`` it is shown with the reason and cannot be chosen."""

    title: str
    value: Any
    description: str = ""
    disabled: str = ""


Row = tuple[str, Any, str] | tuple[str, Any, str, str]  # title, value, description, why it is disabled
BACK_ROW = Option(title="Back", value=BACK)


def rows_of(*rows: Row) -> list[Option]:
    """Return the rows of a menu."""
    return [
        Option(title=title, value=value, description=about, disabled="".join(reason))
        for title, value, about, *reason in rows
    ]


def choose(
    message: str,
    options: Sequence[Option],
    default: Any,
    instruction: str = INSTRUCTION,
    back: bool = True,
    code: ErrorCode = "E-DATA-SIZE",
    hint: str = "Take more reviews.",
) -> Any:
    """Ask for one of ``options``; a default that cannot be chosen gives way to the first that can.

    Args:
        back: whether a row ``Back`` is added: False where a row of ``options`` leads back, or nothing does.

    Raises:
        MpqError: ``code`` with ``hint`` when none can be chosen.
    """
    default_row = _default_row(message, options, default, code, hint)
    rows = [*options, *([BACK_ROW] if back else [])]
    if is_accessible():
        lines = [(row.title, row.description, row.disabled) for row in rows]
        return rows[choose_number(message, lines, default_row)].value
    columns = shutil.get_terminal_size().columns
    instruction = _fitting(instruction, message, columns)
    choices = [_choice(index, option, columns) for index, option in enumerate(rows)]
    question = _select(message, choices, choices[default_row], instruction)
    narrow = any(len(f"? {message} {option.title}") >= columns for option in rows)
    question.application.erase_when_done = narrow
    index = ask(question)
    if isinstance(index, Back):
        return index
    if narrow:
        _print_answered(f"{message} {rows[index].title}", columns)
    return rows[index].value


def _default_row(message: str, options: Sequence[Option], default: Any, code: ErrorCode, hint: str) -> int:
    enabled = [index for index, option in enumerate(options) if not option.disabled]
    if not enabled:
        reason = options[0].disabled if options else "there is none"
        raise MpqError(code, f"{message.split('  ')[-1]}: nothing can be chosen ({reason}).", hint)
    return next((index for index in enabled if options[index].value == default), enabled[0])


def _select(
    message: str, choices: list[questionary.Choice], default: questionary.Choice, instruction: str
) -> questionary.Question:
    many = len(choices) > 15
    return questionary.select(
        message,
        choices=choices,
        default=default,
        instruction=instruction,
        pointer=symbol("»", ">"),
        use_search_filter=many,
        use_jk_keys=not many,
    )


def _choice(index: int, option: Option, columns: int) -> questionary.Choice:
    # The index: two rows may have equal values, as 5k and the whole split of 5,000 reviews.
    return questionary.Choice(
        option.title,
        value=index,
        description=_wrapped(option.description, columns) or None,
        disabled=cast("str | None", _reason(option, columns) or None),  # True, too, is understood
    )


def _fitting(instruction: str, message: str, columns: int) -> str:
    """Return what of an instruction fits beside a message: it would break inside a word."""
    shorter = ("(Esc goes back)", "(Esc)") if "Esc" in instruction else ("(arrows)",)
    each = (text for text in (instruction, *shorter) if len(f"? {message} {text}") <= columns)
    return next(each, " ")  # a blank: for nothing questionary has words of its own


def _print_answered(line: str, columns: int) -> None:
    """Show an answered question broken between words: its own line would break anywhere."""
    text = textwrap.fill(
        line, max(20, columns - 1), initial_indent="? ", subsequent_indent="  ", break_on_hyphens=False
    )
    questionary.print(text, style="bold")


def _wrapped(description: str, columns: int) -> str:
    """Break a description into lines: the list would cut it off."""
    lines = textwrap.wrap(description, max(20, columns - 3), initial_indent=" " * len("Description: "))
    return "\n  ".join(lines).strip()


def _reason(option: Option, columns: int) -> str | bool:
    """Return why an option is disabled, as far as its words have room beside the title; True for no room."""
    room = columns - len(f"   - {option.title} ()") - 1
    if not option.disabled or len(option.disabled) <= room:
        return option.disabled
    words = textwrap.shorten(option.disabled, max(3, room), placeholder="...")
    return words if words != "..." else True


def ask_text(message: str, check: Callable[[str], str], default: str = "") -> Any:
    """Ask for a line; ``check`` returns what is wrong with it, or ""."""
    if is_accessible():
        typed = type_line(message, check, default)
        return BACK if typed is None else typed
    # In the message: questionary sets its own instruction apart by two blanks.
    esc = _fitting("(Esc goes back)", message, shutil.get_terminal_size().columns)
    question = questionary.text(
        f"{message} {esc}".rstrip(), default=default, validate=lambda text: check(text) or True
    )
    return ask(question)


def confirm(message: str, default: bool = True, can_go_back: bool = True) -> bool | Back:
    """Ask for yes or no."""
    if is_accessible():
        said = confirm_line(message, default, can_go_back)
        return BACK if said is None else said
    keys = "Y/n" if default else "y/N"
    instruction = f"({keys}, Esc goes back) " if can_go_back else f"({keys}) "
    question = questionary.confirm(message, default=default, instruction=instruction)
    answer: bool | Back = ask(question) if can_go_back else question.unsafe_ask()
    return answer


def problem_of(check: Callable[[], object]) -> str:
    """Return what ``check`` raises MpqError for, as a line without a full stop; "" when it does not."""
    try:
        check()
    except MpqError as error:
        return error.title.rstrip(".")
    return ""


def ask(question: questionary.Question) -> Any:
    """Ask one question; return its answer, or BACK on Esc."""
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
