"""What ``bert-mpq doctor`` found, as text to paste into a report."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from bert_mpq.runs.doctor import Check
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import Pairs

MARKS = {"ok": "  ", "note": "- ", "problem": "! "}


def doctor_views(checks: Sequence[Check]) -> list[RenderableType]:
    """Return a table per section and what to do about each problem."""
    views: list[RenderableType] = []
    for section in dict.fromkeys(check.section for check in checks):
        inside = [check for check in checks if check.section == section]
        views += [
            heading(section),
            Pairs((MARKS[check.state] + check.name, check.value) for check in inside),
        ]
    hints = dict.fromkeys(check.hint for check in checks if check.hint)
    if hints:
        views += [heading("What to do"), *(Text(f"- {hint}") for hint in hints)]
    problems = sum(check.state == "problem" for check in checks)
    found = f"{problems} problem{'' if problems == 1 else 's'}" if problems else "No problem"
    return [*views, Text(f"{found} found.")]
