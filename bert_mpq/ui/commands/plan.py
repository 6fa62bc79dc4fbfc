"""``plan``: the best bits for a target, without quantizing anything."""

import argparse
import functools
from typing import TYPE_CHECKING

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.knapsack import Assignment
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    """Measure the scores where no file is given, then plan.

    Raises:
        MpqError: any of its codes.
    """
    from bert_mpq.runs.make_plan import budget_of, named, plan_analysis
    from bert_mpq.ui.views.budget import budget_views

    namespace.clustering = "budget"
    config = flags.config_from(namespace, flags.defaults_of("plan"))
    if config.sensitivities is None:
        if config.score not in config.metrics:
            config = config.replace(metrics=(*config.metrics, config.score))
        first = plan_analysis(config)
        execution.start(first, ask=not namespace.yes)
        analysis = execution.analyse(first)
        config = config.replace(sensitivities=str(analysis.width_scores_file))
    budget = budget_of(config)
    by_size = config.goal.kind != "drop"
    best = budget.best(config.goal) if by_size else _searched(config, budget, execution)
    for view in budget_views(budget, best):
        execution.output.print(view)
    config = named(config, budget.scores.model_name)
    execution.output.print("Plan again, or quantize and evaluate it:")
    for subcommand in ("plan", "quantize"):
        execution.output.print(flags.command_line(subcommand, config), soft_wrap=True, markup=False)


def _searched(config: RunConfig, budget: Budget, execution: "Execution") -> Assignment:
    """Return the smallest bits that keep the accuracy, found by evaluating."""
    from bert_mpq.runs.make_plan import plan_quantization

    plan = plan_quantization(config)
    with execution.running(plan) as reporter:
        from bert_mpq.runs.accuracy_search import smallest_accurate

        return smallest_accurate(plan, budget, execution.session, reporter)


PLAN = Command(
    name="plan",
    help="the best bits per layer for a size, a ratio or an accuracy drop",
    add_flags=functools.partial(flags.add_flags, subcommand="plan"),
    run=_run,
)
