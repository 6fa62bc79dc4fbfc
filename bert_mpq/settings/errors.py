"""Errors a user can act on.

Every one carries a code, one sentence that says what is wrong, and a hint that says what to do::

    MpqError               exit code 1: the run cannot be done, or failed
    ├── DataError          E-DATA-FORMAT: the data cannot be read, or not understood
    ├── ModelError         E-MODEL: the model cannot be loaded, or not measured
    └── UsageError         exit code 2: the command itself is wrong, or there is no terminal

Only ``ui.main`` and the wizard print them; the engine raises them.
"""

from typing import Literal, get_args

ErrorCode = Literal[
    "E-BITS-COUNT",
    "E-BITS-INT",
    "E-BITS-ORDER",
    "E-BITS-VALUE",
    "E-BUDGET",
    "E-CHECKPOINT",
    "E-CONFIG",
    "E-DATA-FORMAT",
    "E-DATA-SIZE",
    "E-DEVICE",
    "E-DISK",
    "E-DISTRIBUTED",
    "E-DIVERGED",
    "E-EXPORT",
    "E-EXTRA",
    "E-GROUPS",
    "E-JSON",
    "E-LABELS",
    "E-LAYERS",
    "E-MEMORY",
    "E-MODEL",
    "E-NETWORK",
    "E-NOFILE",
    "E-OFFLINE",
    "E-ONE-CLASS",
    "E-READONLY",
    "E-SCORE",
    "E-TERMINAL",
    "E-TOPIC",
    "E-WEIGHTS",
]
LONGEST_TITLE = 300
ERROR_CODES: tuple[str, ...] = get_args(ErrorCode)


def excerpt(text: str, longest: int = 40) -> str:
    """Return ``text``, or its beginning and dots where it has more than ``longest`` characters.

    Unlike ``textwrap.shorten`` it keeps blanks, and the beginning of a single long word.
    """
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


class MpqError(Exception):
    """A problem that the user can mend.

    Args:
        title: one sentence that says what is wrong; made one line of at most ``LONGEST_TITLE`` characters.
        hint: one sentence that says what to do; empty when the title says it all.
    """

    exit_code = 1

    def __init__(self, code: ErrorCode, title: str, hint: str = "") -> None:
        # A name or a number out of a broken file can be of any length, and have any number of lines.
        line = " ".join(title.splitlines())
        self.title = excerpt(line, LONGEST_TITLE)
        super().__init__(self.title)
        self.code: ErrorCode = code
        self.hint = hint


class UsageError(MpqError):
    """The command is wrong by itself, whatever the machine and the data."""

    exit_code = 2


class DataError(MpqError):
    """The data cannot be read, or not understood."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__("E-DATA-FORMAT", title, hint)


class ModelError(MpqError):
    """The model cannot be loaded, or not measured."""

    def __init__(self, title: str, hint: str) -> None:
        super().__init__("E-MODEL", title, hint)
