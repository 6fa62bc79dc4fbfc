"""What a subcommand is."""

import argparse
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


@dataclass(frozen=True, kw_only=True)
class Command:
    """One subcommand; its module must be quick to import (no torch, no transformers).

    Args:
        name: the word after ``bert-mpq``.
        help: one line for the list of commands.
        add_flags: adds its flags to its parser.
        run: does it and returns the result; that it shows on ``execution.output``, progress and errors on
            ``execution.errors``. With --json both are silent, and the result is printed (``ui.documents``).
        result: ``module:Class`` of the result, a frozen dataclass; imported only when it is asked for.
        version: of its JSON: the next one when a key goes or changes its meaning, not when one is added.
        starts: whether it starts something that takes a while: it takes --dry-run, and ``run`` calls
            ``execution.start`` or ``execution.leave`` before.
        several_processes: whether torchrun may start it as several processes.
    """

    name: str
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, "Execution"], object]
    result: str
    version: int = 1
    starts: bool = False
    several_processes: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of what --json prints."""
        from bert_mpq.ui.documents import schema_of

        return schema_of(self.name, self.version, pkgutil.resolve_name(self.result))
