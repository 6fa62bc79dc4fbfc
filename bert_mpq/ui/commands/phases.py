"""``sensitivity``, ``quantize`` and ``run``: the two phases, one by one and together."""

import argparse
from typing import TYPE_CHECKING

from bert_mpq.records.json_file import read_json, refusals
from bert_mpq.records.run_record import LARGEST_RECORD
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.runs.plan import Phase
    from bert_mpq.ui.execution import Execution


def _command(phase: "Phase", text: str) -> Command:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", metavar="FILE", help="JSON file of settings; flags come on top")
        flags.add_flags(parser, phase)

    def run(namespace: argparse.Namespace, execution: "Execution") -> None:
        run_phase(phase, namespace, execution)

    return Command(name=phase, help=text, add_flags=add, run=run, several_processes=True)


def run_phase(phase: "Phase", namespace: argparse.Namespace, execution: "Execution") -> None:
    """Plan, confirm, run, and print the command that repeats it.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.runs.make_plan import make_plan
    from bert_mpq.ui.views import panels as views

    base = read_config(namespace.config) if getattr(namespace, "config", None) else RunConfig()
    plan = make_plan(flags.config_from(namespace, base), phase)
    execution.start(plan, ask=not namespace.yes)
    execution.run(plan)
    views.print_repeat(plan.repeat, execution.output)


def read_config(name: str) -> RunConfig:
    """Read a JSON file of settings, or the settings inside a run record.

    Raises:
        MpqError: E-NOFILE, E-CONFIG.
    """
    path = user_path(name)
    with refusals(path, "configuration file", "Give a JSON file of settings, or a run record.", "E-CONFIG"):
        content = read_json(path, LARGEST_RECORD, "file of settings")
    # A run record holds its configuration under "config".
    if isinstance(content, dict) and "schema" in content:
        content = content.get("config")
    return from_json(content)


SENSITIVITY = _command("sensitivity", "Phase 1: score every encoder layer, write Sensitivities/")
QUANTIZE = _command(
    "quantize", "Phase 2: allocate bits, quantize, evaluate before and after, write Evaluation/"
)
RUN = _command("run", "both phases")
