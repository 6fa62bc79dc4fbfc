"""The commands that measure: the two phases one by one and together, ``plan``, ``validate`` and ``sweep``."""

import argparse
import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bert_mpq.records.json_file import read_json, refusals
from bert_mpq.records.run_record import LARGEST_RECORD
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.allocation.whole_plans import WholePlan
    from bert_mpq.records.refinement import Refinement
    from bert_mpq.runs.full_run import FullRun
    from bert_mpq.runs.phase_1 import Analysis
    from bert_mpq.runs.phase_2 import Quantization
    from bert_mpq.runs.plan import Phase
    from bert_mpq.runs.sweep import WrittenSweep
    from bert_mpq.runs.validate import Validation
    from bert_mpq.ui.execution import Execution

# What another machine, or another folder, has its own of.
OF_THE_MACHINE = ("device", "precision", "output", "batch_tokens")


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


@dataclass(frozen=True, kw_only=True)
class PlannedBits:
    """The best bits for a target.

    Args:
        sensitivities: the file of scores at several widths that they were planned from.
        units: what has a width of its own: layers, or Linears.
        bits: of each unit.
        sizes: of the model with these bits.
        embeddings: precision of the embedding tables.
        loss: predicted: the sum of the scores ``score`` of these bits.
        commands: plan again, and quantize and evaluate.
    """

    target: str
    score: str
    sensitivities: str
    units: tuple[str, ...]
    bits: tuple[int, ...]
    embeddings: EmbeddingPrecision
    sizes: SizeReport
    loss: float
    commands: tuple[str, ...]


def _phase(phase: "Phase", text: str, result: str) -> Command:
    def add_flags(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--config", metavar="FILE", help="JSON file of settings; flags come on top")
        flags.add_flags(parser, phase)

    def run(namespace: argparse.Namespace, execution: "Execution") -> "Analysis | Quantization | FullRun":
        from bert_mpq.runs.make_plan import make_plan

        base = read_config(namespace.config) if namespace.config else RunConfig()
        plan = make_plan(flags.config_from(namespace, base), phase)
        execution.start(plan)
        return execution.run(plan)

    return Command(
        name=phase,
        help=text,
        add_flags=add_flags,
        run=run,
        result=result,
        starts=True,
        several_processes=True,
    )


def _plan(namespace: argparse.Namespace, execution: "Execution") -> PlannedBits:
    from bert_mpq.allocation.whole_plans import best_plan
    from bert_mpq.runs.find_sources import named
    from bert_mpq.runs.make_plan import budget_of, plan_analysis
    from bert_mpq.ui.views.budget import budget_views

    namespace.clustering = "budget"
    config = flags.config_from(namespace, _as_measured(namespace))
    if config.sensitivities is None:
        if config.score not in config.metrics:
            config = config.replace(metrics=(*config.metrics, config.score))
        first = plan_analysis(config)
        execution.start(first)
        analysis = execution.analyse(first)
        config = config.replace(sensitivities=str(analysis.width_scores_file))
    budget = budget_of(config)
    if config.goal.kind == "drop" or config.refine != 0:
        plan, refinement = _searched(config, execution)
    else:
        plan, refinement = best_plan(budget, config.goal), None
    for view in budget_views(budget, plan, refinement):
        execution.output.print(view)
    config = named(config, budget.scores.model_name)
    execution.output.print("Plan again, or quantize and evaluate it:")
    commands = flags.command_line("plan", config), flags.command_line("quantize", config)
    for line in commands:
        execution.output.print(line, soft_wrap=True, markup=False)
    return PlannedBits(
        target=config.goal.text,
        score=config.score,
        sensitivities=config.sensitivities or "",
        units=tuple(unit.name for unit in budget.units),
        bits=plan.assignment.bits,
        embeddings=plan.budget.embeddings,
        sizes=plan.budget.sizes(plan.assignment.bits),
        loss=plan.loss,
        commands=commands,
    )


def _as_measured(namespace: argparse.Namespace) -> RunConfig:
    """Return the settings that no flag is given for: those that the scores in the file were measured with."""
    defaults = flags.defaults_of("plan")
    if not hasattr(namespace, "sensitivities"):
        return defaults
    from bert_mpq.records.width_scores import read_width_scores

    measured = read_width_scores(namespace.sensitivities).config
    common = [name for name, flag in flags.FLAGS.items() if flag.phase == 0 and name not in OF_THE_MACHINE]
    return defaults.replace(**{name: getattr(measured, name) for name in common})


def _searched(config: RunConfig, execution: "Execution") -> "tuple[WholePlan, Refinement | None]":
    """Return the bits that are found by measuring plans, and what measuring told."""
    from bert_mpq.allocation.whole_plans import WholePlan
    from bert_mpq.runs.make_plan import budget_of, plan_quantization

    plan = plan_quantization(config)
    execution.start(plan)
    with execution.running(plan) as reporter:
        from bert_mpq.runs.job import started
        from bert_mpq.runs.phase_2 import allocate

        with started(plan, reporter, execution.session) as job:
            allocation, refinement = allocate(job)
    problem = budget_of(config)
    budget = dataclasses.replace(problem, embeddings=allocation.embeddings or problem.embeddings)
    by_name = budget.outline.bits_by_name(allocation.bits, allocation.granularity, tie=False)
    return WholePlan(budget=budget, assignment=budget.assignment(by_name)), refinement


def _validate(namespace: argparse.Namespace, execution: "Execution") -> "Validation":
    from bert_mpq.runs.make_plan import plan_validation
    from bert_mpq.ui.views.panels import print_repeat
    from bert_mpq.ui.views.validation import validation_views

    plan = plan_validation(flags.config_from(namespace, flags.defaults_of("validate")))
    execution.start(plan)
    with execution.running(plan) as reporter:
        from bert_mpq.runs import validate

        validation = validate.run(plan, reporter, execution.session)
    result = validation.result
    execution.show(validation_views(result), [validation.file], result.seconds)
    print_repeat(plan.repeat, execution.output)
    return validation


def _sweep(namespace: argparse.Namespace, execution: "Execution") -> "WrittenSweep":
    from bert_mpq.runs.make_plan import plan_sweep

    plan = plan_sweep(flags.config_from(namespace, RunConfig()))
    execution.start(plan)
    with execution.running(plan) as reporter:
        from bert_mpq.runs import sweep

        done = sweep.run(plan, reporter, execution.session)
    execution.write(f"{sweep.markdown(done.sweep)}\n")
    execution.output.print(f"Wrote {done.file}", soft_wrap=True, markup=False)
    execution.output.print(plan.repeat, soft_wrap=True, markup=False)
    return done


RUNS = (
    _phase(
        "sensitivity",
        "Phase 1: score every encoder layer, write Sensitivities/",
        "bert_mpq.runs.phase_1:Analysis",
    ),
    _phase(
        "quantize",
        "Phase 2: allocate bits, quantize, evaluate before and after, write Evaluation/",
        "bert_mpq.runs.phase_2:Quantization",
    ),
    _phase("run", "both phases", "bert_mpq.runs.full_run:FullRun"),
    Command(
        name="plan",
        help="the best bits per layer for a size, a ratio or an accuracy drop",
        add_flags=partial(flags.add_flags, subcommand="plan"),
        run=_plan,
        result="bert_mpq.ui.commands.runs:PlannedBits",
        starts=True,
    ),
    Command(
        name="validate",
        help="do the scores predict the damage? KL of the logits, one unit quantized at a time",
        add_flags=partial(flags.add_flags, subcommand="validate"),
        run=_validate,
        result="bert_mpq.runs.validate:Validation",
        starts=True,
    ),
    Command(
        name="sweep",
        help="conservative, moderate and aggressive plans, and the optimum at each one's size, as a table",
        add_flags=partial(flags.add_flags, subcommand="sweep"),
        run=_sweep,
        result="bert_mpq.runs.sweep:WrittenSweep",
        starts=True,
    ),
)
