"""The commands that measure: the two phases one by one and together, ``plan``, ``validate`` and ``sweep``."""

import argparse
import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from bert_mpq.records.json_file import read_json, refusals
from bert_mpq.records.run_record import LARGEST_RECORD
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bert_mpq.runs.plan import Phase
    from bert_mpq.ui.execution import Execution


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


def _phase(phase: "Phase", text: str) -> Command:
    def add_flags(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", metavar="FILE", help="JSON file of settings; flags come on top")
        flags.add_flags(parser, phase)

    def run(namespace: argparse.Namespace, execution: "Execution") -> None:
        from bert_mpq.runs.make_plan import make_plan

        base = read_config(namespace.config) if namespace.config else RunConfig()
        plan = make_plan(flags.config_from(namespace, base), phase)
        execution.start(plan, ask=not namespace.yes)
        execution.run(plan)

    return Command(name=phase, help=text, add_flags=add_flags, run=run, several_processes=True)


def _plan(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.allocation.whole_plans import best_plan
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
    if config.goal.kind == "drop" or config.refine != 0:
        views = _searched(config, execution)
    else:
        views = budget_views(budget, best_plan(budget, config.goal))
    for view in views:
        execution.output.print(view)
    config = named(config, budget.scores.model_name)
    execution.output.print("Plan again, or quantize and evaluate it:")
    for subcommand in ("plan", "quantize"):
        execution.output.print(flags.command_line(subcommand, config), soft_wrap=True, markup=False)


def _searched(config: RunConfig, execution: "Execution") -> "list[RenderableType]":
    """Return the views of the bits that are found by measuring plans."""
    from bert_mpq.allocation.whole_plans import WholePlan
    from bert_mpq.runs.make_plan import budget_of, plan_quantization
    from bert_mpq.ui.views.budget import budget_views

    plan = plan_quantization(config)
    with execution.running(plan) as reporter:
        from bert_mpq.runs.job import started
        from bert_mpq.runs.phase_2 import allocate

        with started(plan, reporter, execution.session) as job:
            allocation, refinement = allocate(job)
    problem = budget_of(config)
    budget = dataclasses.replace(problem, embeddings=allocation.embeddings or problem.embeddings)
    by_name = budget.outline.bits_by_name(allocation.bits, allocation.granularity, tie=False)
    return budget_views(problem, WholePlan(budget=budget, assignment=budget.assignment(by_name)), refinement)


def _validate(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.runs.make_plan import plan_validation
    from bert_mpq.ui.views.panels import print_repeat
    from bert_mpq.ui.views.validation import validation_views

    plan = plan_validation(flags.config_from(namespace, flags.defaults_of("validate")))
    execution.start(plan, ask=False)
    with execution.running(plan) as reporter:
        from bert_mpq.runs import validate

        validation = validate.run(plan, reporter, execution.session)
    result = validation.result
    execution.show(validation_views(result), [validation.file], result.seconds)
    print_repeat(plan.repeat, execution.output)


def _sweep(namespace: argparse.Namespace, execution: "Execution") -> None:
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


RUNS = (
    _phase("sensitivity", "Phase 1: score every encoder layer, write Sensitivities/"),
    _phase("quantize", "Phase 2: allocate bits, quantize, evaluate before and after, write Evaluation/"),
    _phase("run", "both phases"),
    Command(
        name="plan",
        help="the best bits per layer for a size, a ratio or an accuracy drop",
        add_flags=partial(flags.add_flags, subcommand="plan"),
        run=_plan,
    ),
    Command(
        name="validate",
        help="do the scores predict the damage? KL of the logits, one unit quantized at a time",
        add_flags=partial(flags.add_flags, subcommand="validate"),
        run=_validate,
    ),
    Command(
        name="sweep",
        help="conservative, moderate and aggressive plans, and the optimum at each one's size, as a table",
        add_flags=partial(flags.add_flags, subcommand="sweep"),
        run=_sweep,
    ),
)
