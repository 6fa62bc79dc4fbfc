"""Tables that a narrow screen leaves columns out of, and never digits, and rows that are Jinja templates."""

import copy
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from bert_mpq.records.template import render
from bert_mpq.ui.console import is_accessible

FEWEST = 2  # columns that are always shown
UNBROKEN = 24  # columns: a longer word, such as the name of a folder, is folded before figures go


class FiguresTable(Table):
    """A table whose words are wrapped, and whose last columns are left out, where there is no room."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if is_accessible():
            yield from spoken(self)
            return
        shown = copy.copy(self)
        shown.columns = list(self.columns)
        while len(shown.columns) > FEWEST and shown.least(console, options) > options.max_width:
            shown.columns.pop()
        yield from super(FiguresTable, shown).__rich_console__(console, options)

    def least(self, console: Console, options: ConsoleOptions) -> int:
        """Return the columns of the screen that it needs."""
        natural = Measurement.get(console, options.update(max_width=10_000), self).maximum
        return natural - sum(_slack(column) for column in self.columns if not column.no_wrap)


class Pairs(Table):
    """Names and values side by side; a long value is folded."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        super().__init__(
            Column(overflow="fold"),
            Column(overflow="fold"),
            box=None,
            padding=(0, 2),
            collapse_padding=True,
            pad_edge=False,
            show_header=False,
        )
        for name, value in rows:
            self.add_row(name, Text(value))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from spoken(self) if is_accessible() else super().__rich_console__(console, options)


def spoken(table: Table) -> Iterator[Text]:
    """Yield a line per row, in which each cell follows its heading: what a screen reader reads out."""
    names = [str(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [f"{name} {cell}".strip() for name, cell in zip(names, row, strict=True) if str(cell)]
        yield Text(("; " if any(names) else ": ").join(cells))


def plain_table(*names: str, left: Collection[str]) -> FiguresTable:
    """Return a table without frame; the columns named in ``left`` are words, the others figures.

    The words of the first column may be wrapped.
    """
    columns = [
        Column(
            name,
            justify="left" if name in left else "right",
            no_wrap=index > 0 or name not in left,
            overflow="fold",
        )
        for index, name in enumerate(names)
    ]
    return FiguresTable(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


def template_rows(template: Path, **values: object) -> list[tuple[str, str]]:
    """Return a template's lines, each ``name | value``, as pairs."""
    lines = render(template, **values).rstrip("\n").split("\n")
    return [(left.rstrip(), right) for left, _, right in (line.partition("| ") for line in lines)]


def _slack(column: Column) -> int:
    """Return by how much a column can be narrowed without breaking a word, but for very long ones."""
    texts = [str(cell) for cell in (column.header, *column.cells)]
    widest = max(map(cell_len, texts), default=0)
    longest = max((cell_len(word) for text in texts for word in text.split()), default=0)
    return widest - min(longest, UNBROKEN)
