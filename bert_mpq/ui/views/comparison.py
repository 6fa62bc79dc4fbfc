"""The evaluations of a folder as tables, one for each set of reviews."""

from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.records.numbers import megabytes, when
from bert_mpq.runs.compare import ComparedGroup, ComparedRun, Comparison
from bert_mpq.settings.metrics import title_of
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

LOSS_WIDTH = 60  # columns of a screen that has room for the losses
CLUSTERING_WORDS = {
    "kmeans": "K-means",
    "percentile": "Percentile",
    "hierarchical": "Hierarchical",
    "budget": "Budget",
}


def comparison_views(comparison: Comparison, console: Console) -> list[RenderableType]:
    """Return a heading and a table per group of comparable runs, and what the sizes mean."""
    views: list[RenderableType] = []
    for group in comparison.groups:
        views += [
            heading(group.model),
            Text(
                f"{group.size:,} reviews of {group.data} ({group.split}), {group.max_length} tokens at most"
            ),
            _table(group),
        ]
    notes = ["Sizes are of the whole model, computed; 1 MB = 1024^2 bytes."]
    runs = [run for group in comparison.groups for run in group.runs]
    if any(run.pareto for run in runs):
        notes.append("* no other run is as small and more accurate, or as accurate and smaller.")
    if console.width >= LOSS_WIDTH and any(run.loss_over_optimum is not None for run in runs):
        notes.append("Loss: of the bits, over that of the exact optimum at the same size (1.00 = optimum).")
    if len(comparison.groups) > 1:
        notes.append("Only runs on the same model and reviews are ranked together.")
    return [*views, *map(Text, notes)]


def _table(group: ComparedGroup) -> Table:
    columns = _columns(group)
    words = ("", "Bits", "Clustering", "Decided by", "Quantizer", "When", "Embeddings")
    table = plain_table(*(name for name, _, _ in columns), left=words)
    table.add_row(*(before for _, before, _ in columns))
    for run in group.runs:
        table.add_row(*(cell(run) for _, _, cell in columns))
    return table


def _columns(group: ComparedGroup) -> list[tuple[str, str, Callable[[ComparedRun], str]]]:
    """Return the columns, most important first: the name, the cell of the FP32 model, and that of a run."""
    losses = any(run.loss_over_optimum is not None for run in group.runs)
    embeddings = any(run.embeddings != "fp32" for run in group.runs)
    before, size = group.before, f"{megabytes(group.whole_original_bits):.1f} MB"
    columns: list[tuple[bool, str, str, Callable[[ComparedRun], str]]] = [
        (True, "", "", lambda run: "*" if run.pareto else ""),
        (True, "Bits", "FP32", lambda run: "/".join(map(str, run.group_bits)) + " QAT" * run.trained),
        (True, "Accuracy", f"{before.accuracy:.4f}", lambda run: f"{run.accuracy:.4f}"),
        (True, "Change", "", lambda run: f"{0.0 - 100 * run.drop:+.2f} pp"),
        (True, "Size", size, lambda run: f"{megabytes(run.whole_bits):.1f} MB"),
        (True, "Ratio", "", lambda run: f"{run.whole_ratio:.2f}x"),
        (losses, "Loss", "", lambda run: _ratio(run.loss_over_optimum)),
        (embeddings, "Embeddings", "fp32", lambda run: run.embeddings),
        (True, "Clustering", "", lambda run: CLUSTERING_WORDS.get(run.clustering, run.clustering)),
        (True, "Decided by", "", lambda run: title_of(run.metric)),
        (True, "F1", f"{before.f1:.4f}", lambda run: f"{run.f1:.4f}"),
        (True, "Quantizer", "", lambda run: run.quantizer),
        (True, "When", "", lambda run: when(run.timestamp)),
    ]
    return [(name, fp32, cell) for shown, name, fp32, cell in columns if shown]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
