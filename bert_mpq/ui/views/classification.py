"""What two models say of one review."""

from typing import TYPE_CHECKING

from rich.table import Table

from bert_mpq.ui.views.tables import plain_table

if TYPE_CHECKING:
    from bert_mpq.runs.classify import Classification


def classification_view(before: "Classification", after: "Classification") -> Table:
    """Return the answers of the FP32 and of the quantized model side by side."""
    table = plain_table("", "FP32", "quantized", "difference", left=("",))
    same = "the same" if before.label == after.label else "another"
    table.add_row("label", before.label, after.label, same)
    change = 100 * (after.positive - before.positive)
    shares = [f"{100 * each.positive:.2f} %" for each in (before, after)]
    table.add_row("probability of positive", *shares, f"{change:+.2f} points")
    return table
