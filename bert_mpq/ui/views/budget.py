"""A plan for a budget: layer by layer, its size, the clusterings at that size, other sizes."""

import math
from collections import Counter
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.knapsack import Assignment
from bert_mpq.allocation.whole_plans import WholePlan, frontier
from bert_mpq.records.numbers import megabytes, score_text
from bert_mpq.records.refinement import Refinement
from bert_mpq.records.template import render
from bert_mpq.settings.choices import Granularity
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

TEMPLATE = Path(__file__).with_name("budget.jinja")
OTHER_SIZES = 8
KINDS: dict[Granularity, str] = {"layer": "layer", "linear": "Linear"}


def budget_views(
    problem: Budget, plan: WholePlan, refinement: Refinement | None = None
) -> list[RenderableType]:
    """Return the plan, what measuring told of it, the clusterings at its size, and other sizes.

    Args:
        problem: the budget as it was posed, the embeddings open where they were chosen.
        plan: its answer.
    """
    budget, assignment = plan.budget, plan.assignment
    notes = render(
        TEMPLATE, problem=problem, plan=plan, budget=budget, refinement=refinement, kinds=KINDS
    ).splitlines()
    return [
        heading(f"Plan for {budget.config.target}"),
        _layers(budget, assignment),
        *map(Text, notes),
        heading("The clusterings at this size, with the best bits for each"),
        _clusterings(budget, assignment),
        heading("Other sizes: the best plan for each"),
        _frontier(problem, plan),
    ]


def _layers(budget: Budget, assignment: Assignment) -> Table:
    table = plain_table("Layer", "Bits", "Size", "Loss", left=("Layer",))
    for layer, text in enumerate(budget.allocation(assignment).texts):
        mine = [k for k, unit in enumerate(budget.units) if unit.layer == layer]
        size = sum(assignment.options[k].cost for k in mine)
        loss = math.fsum(assignment.options[k].loss for k in mine)
        pinned = " (pinned)" if any(k in budget.pins for k in mine) else ""
        table.add_row(f"layer_{layer}", f"{text}{pinned}", f"{megabytes(size):.2f} MB", score_text(loss))
    if budget.config.goal.kind != "bits":
        tables = f"{megabytes(budget.sizes(assignment.bits).embedding_bits):.2f} MB"
        table.add_row("embeddings", budget.embeddings, tables, score_text(budget.embedding_loss))
    return table


def _clusterings(budget: Budget, assignment: Assignment) -> Table:
    names = ("Strategy", "Groups", "Bits a weight", "Loss", "Against the optimum")
    table = plain_table(*names, left=("Strategy", "Groups"))
    rivals = budget.clusterings(assignment.cost)
    entries = [(each.method, "/".join(map(str, each.group_bits)), each.assignment) for each in rivals]
    for name, groups, entry in [("budget", "any", assignment), *entries]:
        width = f"{entry.cost / budget.outline.linear_weights:.2f}"
        times = f"{entry.loss / assignment.loss:.2f}x" if assignment.loss > 0 else ""
        table.add_row(name, groups, width, score_text(entry.loss), times)
    return table


def _frontier(problem: Budget, plan: WholePlan) -> Table:
    last = "Bits per layer" if problem.config.granularity == "layer" else "Linears at each width"
    names = ["Bits a weight", "Whole model", "Ratio", "Loss", "Embeddings", last]
    if not problem.embeddings_are_open:
        names.remove("Embeddings")
    table = plain_table(*names, left=("Embeddings", last))
    table.columns[-1].no_wrap = False
    points = list(frontier(problem))
    step = max(1, -(-len(points) // OTHER_SIZES))
    shown = {point.key: point for point in (*points[::step], plan, points[-1])}
    for point in sorted(shown.values(), key=lambda p: p.whole_bits):
        sizes = point.budget.sizes(point.assignment.bits)
        mark = " (the plan)" if point.key == plan.key else ""
        cells = {
            "Bits a weight": f"{sizes.bits_per_weight:.2f}",
            "Whole model": f"{megabytes(sizes.whole_bits):.2f} MB",
            "Ratio": f"{sizes.whole_ratio:.2f}x",
            "Loss": score_text(point.loss),
            "Embeddings": point.budget.embeddings,
            last: f"{_in_short(problem, point.assignment)}{mark}",
        }
        table.add_row(*(cells[name] for name in names))
    return table


def _in_short(budget: Budget, point: Assignment) -> str:
    if budget.config.granularity == "layer":
        return " ".join(map(str, point.bits))
    counts = Counter(budget.by_name(point.bits).values())
    return ", ".join(f"{bits}:{counts[bits]}" for bits in sorted(counts, reverse=True))
