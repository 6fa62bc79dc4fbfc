"""``doctor``: versions, devices, hub, offline wheels, folders, disk."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="DIR", default=".", help="folder to look at (default: .)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.runs.doctor import diagnose
    from bert_mpq.ui.views.doctor import doctor_views

    checks = diagnose(namespace.output)
    if namespace.json:
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
        return
    for view in doctor_views(checks):
        execution.output.print(view)


DOCTOR = Command(
    name="doctor",
    help="versions, devices, hub and cache, folders: text to paste into a report",
    add_flags=_add_flags,
    run=_run,
)
