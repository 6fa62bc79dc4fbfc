"""How a setting is written on the command line, which commands take it, and whether the menu remembers it."""

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bert_mpq.settings.errors import UsageError, excerpt

Subcommand = Literal["sensitivity", "quantize", "run", "plan", "sweep", "validate"]
Phase = Literal[0, 1, 2]
RUNNING: dict[Phase, tuple[Subcommand, ...]] = {
    0: typing.get_args(Subcommand),
    1: ("sensitivity", "run", "plan", "sweep", "validate"),
    2: ("quantize", "run", "plan", "sweep"),
}


@dataclass(frozen=True, kw_only=True)
class Flag:
    """How one field of ``RunConfig`` is written on the command line.

    Args:
        read: turns the word behind the flag into the value.
        shown: stands for that word in --help.
        about: what it sets, for --help.
        phase: the phase that uses it; 0 = both.
        commands: the commands that take it; None = every one that runs its phase.
        remembered: whether the menu knows the last answer, from the newest run record of its phase.
        lowest: the smallest whole number that a run can have.
        none: the word for None.
        repeats: may be given several times; comma-separated values say the same.
        switch: given without a value; --no-... takes it back.
    """

    read: Callable[[str], Any]
    shown: str
    about: str
    phase: Phase
    commands: tuple[Subcommand, ...] | None = None
    remembered: bool = False
    lowest: int | None = None
    none: str = ""
    repeats: bool = False
    switch: bool = False

    @property
    def taken_by(self) -> tuple[Subcommand, ...]:
        """The commands that take it."""
        return RUNNING[self.phase] if self.commands is None else self.commands

    @property
    def only_to_stop(self) -> bool:
        """Whether Phase 1 uses it only to see if more reviews would still change the bits."""
        return self.phase == 2 and "sensitivity" in self.taken_by

    @property
    def help(self) -> str:
        """Its line in --help."""
        if self.only_to_stop:
            return f"{self.about} (in Phase 1: for --until-stable)"
        return f"Phase {self.phase}: {self.about}" if self.phase else self.about


def setting(default: Any, **facts: Any) -> Any:
    """Return a field of ``RunConfig`` with its default and, of these ``facts``, its flag."""
    return dataclasses.field(default=default, metadata={"flag": Flag(**facts)})


def text(default: str | None, shown: str, about: str, **facts: Any) -> Any:
    """Return a field for text."""
    return setting(default, read=str, shown=shown, about=about, **facts)


def choice(default: str, kind: Any, about: str, **facts: Any) -> Any:
    """Return a field for one of the words of a Literal."""
    choices = typing.get_args(kind)

    def read(value: str) -> str:
        if value not in choices:
            raise UsageError("E-CONFIG", f'"{value}" is not one of {", ".join(choices)}.')
        return value

    return setting(default, read=read, shown="|".join(choices), about=about, **facts)


def number(default: int | None, shown: str, about: str, none: str = "", **facts: Any) -> Any:
    """Return a field for a whole number; the word ``none`` is None."""

    def read(value: str) -> int | None:
        return None if none and value == none else read_number(value)

    return setting(default, read=read, shown=shown, about=about, none=none, **facts)


def read_decimal(text: str) -> float:
    """Read a number.

    Raises:
        UsageError: E-CONFIG.
    """
    try:
        return float(text)
    except ValueError as error:
        raise UsageError("E-CONFIG", f'"{text[:40]}" is not a number.') from error


def read_number(text: str) -> int:
    """Read a whole number as people write it: 5000, 5,000 or 5_000.

    Raises:
        UsageError: E-CONFIG.
    """
    digits = text.strip().replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise UsageError("E-CONFIG", f'"{excerpt(text.strip())}" is not a whole number.')
    return int(digits)


def read_words(value: str) -> tuple[str, ...]:
    """Read words, with commas between them."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def read_widths(value: str) -> tuple[int, ...] | None:
    """Read bit widths, with commas between them; ``auto`` is None."""
    return None if value == "auto" else tuple(read_number(word) for word in value.split(","))
