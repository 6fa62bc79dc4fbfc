"""The evaluations of a folder as tables, one for each set of reviews."""

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.records.numbers import megabytes, when
from bert_mpq.runs.compare import ComparedGroup, ComparedRun, Comparison
from bert_mpq.settings.metrics import title_of
from bert_mpq.ui.views.panels import heading, plain_table

LOSS_WIDTH = 90  # columns that the table needs with its last column
CLUSTERINGS = {
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
            _table(group, console.width),
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


def _table(group: ComparedGroup, width: int) -> Table:
    wide, very_wide = width >= 72, width >= 110
    names = ["Bits", "Accuracy", "Change", "Size", "Ratio"]
    names[1:1] = ["Clustering", "Scores"] if wide else []
    losses = width >= LOSS_WIDTH and any(run.loss_over_optimum is not None for run in group.runs)
    names += ["Loss"] if losses else []
    names += ["F1", "Quantizer", "When"] if very_wide else []
    table = plain_table()
    table.add_column("", no_wrap=True)
    for name in names:
        left = name in ("Bits", "Clustering", "Scores", "Quantizer", "When")
        table.add_column(name, justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
    size = f"{megabytes(group.whole_original_bits):.1f} MB"
    first = ["FP32", *(["", ""] if wide else []), f"{group.before.accuracy:.4f}", "", size, ""]
    first += [""] if losses else []
    table.add_row("", *first, *([f"{group.before.f1:.4f}", "", ""] if very_wide else []))
    for run in group.runs:
        table.add_row("*" if run.pareto else "", *_cells(run, wide, very_wide, losses))
    return table


def _cells(run: ComparedRun, wide: bool, very_wide: bool, losses: bool) -> list[str]:
    cells = ["/".join(map(str, run.group_bits)) + (" QAT" if run.trained else "")]
    if wide:
        cells += [
            CLUSTERINGS.get(run.clustering, run.clustering),
            title_of(run.metric),
        ]
    cells += [
        f"{run.accuracy:.4f}",
        f"{0.0 - 100 * run.drop:+.2f} pp",
        f"{megabytes(run.whole_bits):.1f} MB",
        f"{run.whole_ratio:.2f}x",
    ]
    if losses:
        cells.append("" if run.loss_over_optimum is None else f"{run.loss_over_optimum:.2f}")
    return cells + ([f"{run.f1:.4f}", run.quantizer, when(run.timestamp)] if very_wide else [])
