"""``sweep``: the benchmark table of the original tool's guide, measured."""

import argparse
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _add(parser: argparse.ArgumentParser) -> None:
    flags.add_flags(parser, "sweep")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Plan, confirm, run every row, print and write the table.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.records.files import EVALUATION
    from bert_mpq.runs.plan import make_plan, named

    config = flags.relevant("sweep", flags.config_from(namespace, RunConfig()))
    plan = make_plan(config, "run")
    config = named(config, plan.sources)
    if plan.sources.model.note:
        execution.errors.print(plan.sources.model.note, soft_wrap=True, markup=False)
    if not namespace.yes:
        execution.confirm(plan)
    with execution.running(plan, EVALUATION) as reporter:
        from bert_mpq.runs.sweep import markdown, sweep, write_sweep

        result = sweep(config, reporter, execution.session)
        file = write_sweep(result, config.output)
    # Not the console: it would wrap the table.
    print(markdown(result))
    execution.output.print(f"Wrote {file}", soft_wrap=True, markup=False)
    execution.output.print(flags.command_line("sweep", config), soft_wrap=True, markup=False)


SWEEP = Command(
    name="sweep",
    help="conservative, moderate and aggressive plans, and the optimum at each one's size, as a table",
    add_flags=_add,
    run=_run,
)
