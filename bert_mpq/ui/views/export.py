"""What an export wrote, and what came back from it."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from bert_mpq.ui.views.evaluation import embeddings_advice
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table, template_rows

if TYPE_CHECKING:
    from bert_mpq.export.result import Export

TEMPLATE = Path(__file__).with_name("export.jinja")


def export_views(export: "Export") -> list[RenderableType]:
    """Return sizes and the comparison."""
    table = plain_table("", "", left=("",))
    table.show_header = False
    table.columns[1].no_wrap = False
    for row in template_rows(TEMPLATE, export=export, file=export.size, comparison=export.comparison):
        table.add_row(*row)
    note = f"1 MB = 1024^2 bytes. {export.file_format.memory}"
    if not export.file_format.rounding and (advice := embeddings_advice(export.record.result.sizes)):
        note += f" {advice}"
    return [heading(f"Exported as {export.file_format.name}"), table, Text(note)]
