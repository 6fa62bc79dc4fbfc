"""The scores against the damage: rank correlations, plans of equal size, and a verdict in words."""

import itertools

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.records.validation import ValidationResult
from bert_mpq.settings.metrics import title_of
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

PREDICTORS = {
    "mse": "output MSE",
    "weight": "weight MSE",
    "depth": "depth alone",
    "uniform": "same bits for all",
}


def validation_views(result: ValidationResult) -> list[RenderableType]:
    """Return the rank correlations, the plans of equal size, and the verdict."""
    kind = "encoder layers" if result.config.granularity == "layer" else "Linear modules"
    return [
        heading(f"Rank correlation with the KL of the logits over {_count(result)} {kind} (Spearman)"),
        _correlations(result),
        heading(f"Best plan by each score at equal size, on {result.evaluation.size:,} other reviews"),
        _plans(result),
        heading("Verdict"),
        *map(Text, verdict(result)),
    ]


def verdict(result: ValidationResult) -> list[str]:
    """Return in plain sentences which scores predict the damage here, and how sure that is."""
    words = {"predicts": "predicts the damage here", "roughly": "predicts it only roughly", "no": "does not"}
    depth = result.mean_spearman("depth", "")
    lines = []
    for name, scope in result.names:
        judged = result.verdict(name, scope)
        mean = result.mean_spearman(name, scope)
        if judged == "unknown" or mean is None:
            lines.append(f"{title(name, scope)}: no valid score for every unit and width.")
            continue
        more = ""
        if judged != "no" and name != "depth" and depth is not None and mean <= depth:
            more = f", no better than depth alone ({depth:+.2f})"
        lines.append(f"{title(name, scope)} {words[judged]}: {mean:+.2f}{more}.")
    lines.append(f"With {result.measured} units, {result.chance:.2f} is reached by chance in 1 case of 20.")
    if result.config.granularity == "layer" and len(result.units) < 20:
        lines.append("So few units hardly tell scores apart: --granularity linear has more.")
    if result.measured < len(result.units):
        lines.append("The others were predicted, not measured: --exact measures all.")
    return lines


def _count(result: ValidationResult) -> str:
    every = str(len(result.units))
    return every if result.measured == len(result.units) else f"{result.measured} of {every}"


def title(name: str, scope: str = "") -> str:
    """Return a predictor in words."""
    words = PREDICTORS.get(name, title_of(name))
    return f"{words}, {scope}" if scope else words


def _correlations(result: ValidationResult) -> Table:
    widths = [f"{width.bits} bits" for width in result.widths]
    table = plain_table("Score", *widths, "Mean", left=("Score",))
    for key in sorted(result.names, key=lambda key: -(result.mean_spearman(*key) or -2.0)):
        values = [*result.spearman(*key), result.mean_spearman(*key)]
        table.add_row(title(*key), *("-" if value is None else f"{value:+.2f}" for value in values))
    return table


def _plans(result: ValidationResult) -> Table:
    names = ("Score", "Size", "Taken", "KL", "Same prediction", "Accuracy")
    table = plain_table(*names, left=("Score",))
    ranked = sorted(result.plans, key=lambda plan: (plan.size, plan.kl))
    for _, plans in itertools.groupby(ranked, key=lambda plan: plan.size):
        for plan in plans:
            table.add_row(
                title(plan.score),
                f"{plan.size:.2f}",
                f"{plan.bits_per_weight:.2f}",
                f"{plan.kl:.5f}",
                f"{plan.agreement:.4f}",
                f"{plan.accuracy:.4f}",
            )
        table.add_section()
    table.add_row("FP32", "", "", "", "", f"{result.accuracy:.4f}")
    return table
