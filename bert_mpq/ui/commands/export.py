"""``export``: the model of an evaluation as a folder on disk."""

import argparse
import typing
from typing import TYPE_CHECKING

from bert_mpq.export.formats import FORMATS, Embeddings, Format, command_line
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``export``."""
    parser.add_argument(
        "--evaluation",
        metavar="RUN.json",
        required=True,
        help="run record in Evaluation/ (or the report beside it)",
    )
    parser.add_argument("--to", metavar="DIR", required=True, help="folder to make; nothing is overwritten")
    parser.add_argument(
        "--format",
        choices=typing.get_args(Format),
        default="mpq",
        help="; ".join(f"{name}: {facts.title}" for name, facts in FORMATS.items()) + " (default: mpq)",
    )
    parser.add_argument(
        "--embeddings",
        choices=typing.get_args(Embeddings),
        default="as-evaluated",
        help="store the embedding tables narrower than they were evaluated; int8 with mpq only"
        " (default: as-evaluated)",
    )


def run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Export, and print what came back and the command that repeats it.

    Raises:
        MpqError: what ``export_model`` raises.
    """
    from bert_mpq.ui.execution import run_export
    from bert_mpq.ui.views import panels as views

    chosen = (namespace.evaluation, namespace.to, namespace.format, namespace.embeddings)
    run_export(*chosen, execution)
    views.print_repeat(command_line(*chosen), execution.output)


EXPORT = Command(
    name="export",
    help="write the quantized model of an evaluation to disk, load it again, compare",
    add_flags=add_flags,
    run=run,
)
