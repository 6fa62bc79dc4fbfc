"""Layers x metrics: each score over the largest of its metric, darker = more fragile."""

from rich.console import Console, RenderableType
from rich.text import Text

from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.settings.metrics import METRICS, Metric
from bert_mpq.ui.console import is_accessible, is_utf8
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

SHADES, PLAIN_SHADES = " ░▒▓█", " .:+#"
CELL = 4  # characters of shade


def heat_map(result: AnalysisResult, deciding: Metric, console: Console) -> list[RenderableType]:
    """Return the map where more than one metric has a score for every layer; nothing elsewhere.

    Args:
        deciding: the metric whose scores decide the bits; its column is marked.
    """
    columns = {scores.metric: scores.values for scores in result.scores if scores.usable}
    if result.kl:
        columns.setdefault("kl", result.kl)
    if len(columns) < 2:
        return []
    names = [f"{METRICS[metric].title}{' *' if metric == deciding else ''}" for metric in columns]
    table = plain_table("Layer", *names, left=("Layer", *names))
    shades = SHADES if is_utf8(console) else PLAIN_SHADES
    for layer, row in enumerate(zip(*columns.values(), strict=True)):
        shares = (value / (max(values) or 1.0) for value, values in zip(row, columns.values(), strict=True))
        table.add_row(f"layer_{layer}", *(_cell(share, shades) for share in shares))
    title = "Heat map: each score over the largest of its metric (* decides the bits)"
    return [heading(title) if deciding in columns else Text(title.partition(" (")[0]), table]


def _cell(share: float, shades: str) -> str:
    figure = f"{share:.2f}"
    if is_accessible():
        return figure
    return f"{shades[min(len(shades) - 1, int(share * len(shades)))] * CELL} {figure}"
