"""How fast models run here, and in how much memory."""

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

if TYPE_CHECKING:
    from bert_mpq.runs.bench import Bench
    from bert_mpq.runs.bench_processes import Timing

MIB = 1 << 20


def bench_views(bench: "Bench") -> list[RenderableType]:
    """Return two tables: memory, and milliseconds with their spread."""
    sizes = plain_table("MB", "file", "loaded", "after running", "load, s", left=("MB",))
    for each in bench.models:
        figures = (each.file_bytes, each.loaded_bytes, each.ran_bytes)
        sizes.add_row(each.name, *(f"{figure / MIB:.1f}" for figure in figures), f"{each.load_seconds:.2f}")
    shapes = [timing.shape for timing in bench.models[0].timings]
    titles = [*(f"{texts} x {tokens}, ms" for texts, tokens in shapes), "per second"]
    speeds = plain_table("", *titles, left=("",))
    for each in bench.models:
        speeds.add_row(each.name, *map(_milliseconds, each.timings), f"{each.timings[-1].per_second:.1f}")
    note = (
        f"Median of {bench.rounds} rounds in turns, ± half of what lies between the fastest and the slowest;"
        " texts x tokens. Loaded:"
        " resident memory that loading adds in a fresh process, to that of Python and the library."
        f" {bench.threads} threads on {bench.processor}."
    )
    return [heading("Memory"), sizes, heading("Speed"), speeds, Text(note)]


def _milliseconds(timing: "Timing") -> str:
    return f"{1000 * timing.median:.1f} ±{500 * (timing.high - timing.low):.1f}"
