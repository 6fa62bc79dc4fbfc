"""What a subcommand is, and the flags that every one takes."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Command:
    """One subcommand; its module must be quick to import (no torch, no transformers).

    Args:
        name: the word after ``bert-mpq``.
        help: one line for the list of commands.
        add_flags: adds its flags to its parser.
        several_processes: whether torchrun may start it as several processes.
        run: does it; results go to ``execution.output``, progress and errors to ``execution.errors``.
    """

    name: str
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, "Execution"], None]
    several_processes: bool = False


def add_common_flags(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the flags of every command; a command that is not given one keeps what stood before its name."""
    switch = {"action": "store_true", "default": default}
    parser.add_argument("--yes", help="start without asking", **switch)  # type: ignore[arg-type]
    parser.add_argument("--quiet", help="no progress", **switch)  # type: ignore[arg-type]
    parser.add_argument("-v", dest="verbose", help="show tracebacks", **switch)  # type: ignore[arg-type]
