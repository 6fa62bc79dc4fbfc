"""What an export wrote, and what came back from it."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.records.numbers import megabytes
from bert_mpq.ui.views import panels as views

if TYPE_CHECKING:
    from bert_mpq.export.result import Export


def export_views(export: "Export") -> list[RenderableType]:
    """Return sizes and the comparison."""
    return [
        views.heading(f"Exported as {export.file_format.name}"),
        _figures(export),
        Text(f"1 MB = 1024^2 bytes. {_advice(export)}"),
    ]


def _figures(export: "Export") -> Table:
    size, comparison = export.size, export.comparison
    rows = [
        ("Weights file", f"{_size(size.total)}, {size.ratio:.2f}x smaller than FP32"),
        ("  predicted", f"{_size(size.predicted)}, header {size.header:,} bytes more"),
        ("FP32 / FP16 model", f"{_size(size.original)} / {_size(size.original // 2)}"),
        ("Whole folder", _size(export.folder_bytes)),
        ("Reloaded weights", "identical" if comparison.identical else export.file_format.rounding),
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
    text = export.file_format.memory
    as_evaluated = export.file_format.exact and export.embeddings == "as-evaluated"
    if as_evaluated and export.record.result.sizes.mostly_wide_embeddings:
        return f"{text} Most of it is FP32 embeddings: --embeddings fp16 halves them."
    return text


def _size(count: int) -> str:
    return f"{megabytes(8 * count):.2f} MB"
