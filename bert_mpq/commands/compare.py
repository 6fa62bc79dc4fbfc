"""``compare``: the evaluations of a folder, side by side."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from bert_mpq.commands.command import Command
from bert_mpq.errors import MpqError
from bert_mpq.paths import user_path

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", default=".", help="folder of Evaluation/ (default: .)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.comparison import compare
    from bert_mpq.ui.comparison_view import comparison_views

    comparison = compare(namespace.output)
    if namespace.json:
        # Not the console: it would wrap.
        print(json.dumps(dataclasses.asdict(comparison), indent=2, allow_nan=False))
        return
    if not comparison.groups:
        folder = user_path(namespace.output) / "Evaluation"
        raise MpqError("E-NOFILE", f"No evaluation in {folder}/.", "Run Phase 2 first.")
    for view in comparison_views(comparison, execution.output):
        execution.output.print(view)


COMPARE = Command(
    name="compare",
    help="the evaluations in Evaluation/, side by side",
    add_flags=_add_flags,
    run=_run,
)
