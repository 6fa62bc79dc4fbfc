"""An export with progress on stderr, and what came back from it."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.ui.views import panels as views

if TYPE_CHECKING:
    from bert_mpq.export.result import Export

MEGABYTE = 1_000_000


def export_views(export: "Export") -> list[RenderableType]:
    """Return sizes and the comparison."""
    return [
        views.heading(f"Exported as {export.kind}"),
        _figures(export),
        Text(f"1 MB = 10^6 bytes. {_advice(export)}"),
    ]


def _figures(export: "Export") -> Table:
    size, comparison = export.size, export.comparison
    rows = [
        ("Weights file", f"{_megabytes(size.total)}, {size.ratio:.2f}x smaller than FP32"),
        ("  predicted", f"{_megabytes(size.predicted)}, header {size.header:,} bytes more"),
        ("FP32 / FP16 model", f"{_megabytes(size.original)} / {_megabytes(size.original // 2)}"),
        ("Whole folder", _megabytes(export.folder_bytes)),
        ("Reloaded weights", "identical" if comparison.identical else "rounded to float16"),
        (
            "Largest difference",
            f"{comparison.max_difference:g} in the logits of {comparison.reviews} reviews",
        ),
    ]
    if comparison.max_change != comparison.max_difference:
        rows.append(("  to the evaluated", f"{comparison.max_change:g} (the embeddings are narrower)"))
    rows.append(("Same prediction", f"{comparison.same_predictions} of {comparison.reviews}"))
    table = views.plain_table()
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table


def _advice(export: "Export") -> str:
    if export.kind == "dense-fp16":
        return "The model needs as much memory as before, and is not faster on a CPU."
    text = "Only the file is smaller: in memory the weights are float32 again, no faster."
    if export.record.result.sizes.mostly_wide_embeddings and export.embeddings == "as-evaluated":
        return f"{text} Most of it is FP32 embeddings: --embeddings fp16 halves them."
    return text


def _megabytes(count: int) -> str:
    return f"{count / MEGABYTE:.2f} MB"
