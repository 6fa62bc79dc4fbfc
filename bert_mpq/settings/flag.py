"""How a setting is written on the command line, which commands take it, and whether the menu remembers it."""

import dataclasses
import functools
import types
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
        about: what it sets, for --help.
        phase: the phase that uses it; 0 = both.
        shown: stands for its value in --help; "" = the words of its type.
        none: the word for None.
        reader: reads what is not read by its type alone.
        commands: the commands that take it; None = every one that runs its phase.
        remembered: whether the menu knows the last answer, from the newest run record of its phase.
        lowest: the smallest whole number that a run can have.
        repeats: may be given several times; comma-separated values say the same.
        kind: the type of the field.
    """

    about: str
    phase: Phase
    shown: str = ""
    none: str = ""
    reader: Callable[[str], Any] | None = None
    commands: tuple[Subcommand, ...] | None = None
    remembered: bool = False
    lowest: int | None = None
    repeats: bool = False
    kind: Any = str

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

    @property
    def switch(self) -> bool:
        """Whether it is given without a value; --no-... takes it back."""
        return self.kind is bool

    @property
    def words(self) -> str:
        """What stands for its value in --help."""
        kind, several = _inner(self.kind)
        return self.shown or (",".join if several else "|".join)(typing.get_args(kind))

    def read(self, text: str) -> Any:
        """Return the value that ``text`` says.

        Raises:
            UsageError: E-CONFIG, or what the reader of this flag raises.
        """
        if self.none and text == self.none:
            return None
        if self.reader is not None:
            return self.reader(text)
        kind, several = _inner(self.kind)
        if several:
            return tuple(_read(kind, word.strip()) for word in text.split(",") if word.strip())
        return _read(kind, text)


def setting(default: Any, about: str, **facts: Any) -> Any:
    """Return a field of ``RunConfig`` with its default and its flag."""
    return dataclasses.field(default=default, metadata={"flag": Flag(about=about, **facts)})


common = functools.partial(setting, phase=0)
phase_1 = functools.partial(setting, phase=1)
phase_2 = functools.partial(setting, phase=2)


def _inner(kind: Any) -> tuple[Any, bool]:
    """Return the type without None, of the items of a tuple, and whether it is a tuple."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(each for each in typing.get_args(kind) if each is not type(None))
    several = typing.get_origin(kind) is tuple
    return (typing.get_args(kind)[0], True) if several else (kind, False)


def _read(kind: Any, text: str) -> Any:
    """Return one value of a type: a word of a Literal, a whole number, a number, or text as it is."""
    if kind is int:
        return read_number(text)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if text.lower() not in choices:
            raise UsageError("E-CONFIG", f'"{excerpt(text)}" is not one of {", ".join(choices)}.')
        return text.lower()
    try:
        return float(text) if kind is float else text
    except ValueError as error:
        raise UsageError("E-CONFIG", f'"{excerpt(text)}" is not a number.') from error


def read_number(text: str) -> int:
    """Read a whole number as people write it: 5000, 5,000 or 5_000; raises UsageError E-CONFIG."""
    digits = text.strip().replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise UsageError("E-CONFIG", f'"{excerpt(text.strip())}" is not a whole number.')
    return int(digits)
