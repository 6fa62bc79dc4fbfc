"""``sweep``: the benchmark table of the original tool's guide, measured."""

import argparse
import functools
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Plan, confirm, run every row, print and write the table.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.runs.make_plan import plan_sweep

    plan = plan_sweep(flags.config_from(namespace, RunConfig()))
    execution.start(plan, ask=not namespace.yes)
    with execution.running(plan) as reporter:
        from bert_mpq.runs import sweep

        result = sweep.run(plan, reporter, execution.session)
        file = sweep.write_sweep(result, plan.config.output)
    # Not the console: it would wrap the table.
    print(sweep.markdown(result))
    execution.output.print(f"Wrote {file}", soft_wrap=True, markup=False)
    execution.output.print(plan.repeat, soft_wrap=True, markup=False)


SWEEP = Command(
    name="sweep",
    help="conservative, moderate and aggressive plans, and the optimum at each one's size, as a table",
    add_flags=functools.partial(flags.add_flags, subcommand="sweep"),
    run=_run,
)
