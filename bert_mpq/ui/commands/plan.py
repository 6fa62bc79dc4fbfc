"""``plan``: the best bits for a target, without quantizing anything."""

import argparse
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _add(parser: argparse.ArgumentParser) -> None:
    flags.add_flags(parser, "plan")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Measure the scores where no file is given, then plan.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.runs.plan import make_plan

    namespace.clustering = "budget"
    config = flags.config_from(namespace, flags.defaults_of("plan"))
    if config.sensitivities is None:
        if config.score not in config.metrics:
            config = config.replace(metrics=(*config.metrics, config.score))
        first = make_plan(config, "sensitivity")
        if first.sources.model.note:
            execution.errors.print(first.sources.model.note, soft_wrap=True, markup=False)
        if not namespace.yes:
            execution.confirm(first)
        config = config.replace(sensitivities=execution.measure_widths(first))
    budget = execution.plan_budget(config)
    if config.model == "default" and budget.scores.model_name == "embedded":  # it stood in for the default
        config = config.replace(model="embedded")
    execution.output.print("Plan again, or quantize and evaluate it:")
    for subcommand in ("plan", "quantize"):
        execution.output.print(flags.command_line(subcommand, config), soft_wrap=True, markup=False)


PLAN = Command(
    name="plan",
    help="the best bits per layer for a size, a ratio or an accuracy drop",
    add_flags=_add,
    run=_run,
)
