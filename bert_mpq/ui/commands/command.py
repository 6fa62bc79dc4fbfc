"""What a subcommand is."""

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
        run: does it; results go to ``execution.output``, progress and errors to ``execution.errors``.
        several_processes: whether torchrun may start it as several processes.
    """

    name: str
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, "Execution"], None]
    several_processes: bool = False
