"""Tables that a narrow screen leaves columns out of, and never digits."""

import copy
from collections.abc import Collection

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

FEWEST = 2  # columns that are always shown


class FiguresTable(Table):
    """A table whose words are wrapped, and whose last columns are left out, where there is no room."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = copy.copy(self)
        shown.columns = list(self.columns)
        while len(shown.columns) > FEWEST and shown.least(console, options) > options.max_width:
            shown.columns.pop()
        yield from super(FiguresTable, shown).__rich_console__(console, options)

    def least(self, console: Console, options: ConsoleOptions) -> int:
        """Return the columns of the screen that it needs."""
        natural = Measurement.get(console, options.update(max_width=10_000), self).maximum
        return natural - sum(_slack(column) for column in self.columns if not column.no_wrap)


def plain_table(*names: str, left: Collection[str]) -> FiguresTable:
    """Return a table without frame; the columns named in ``left`` are words, the others figures.

    The words of the first column may be wrapped.
    """
    columns = [
        Column(name, justify="left" if name in left else "right", no_wrap=index > 0 or name not in left)
        for index, name in enumerate(names)
    ]
    return FiguresTable(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


def _slack(column: Column) -> int:
    """Return by how much a column can be narrowed without breaking a word."""
    texts = [str(cell) for cell in (column.header, *column.cells)]
    widest = max(map(cell_len, texts), default=0)
    return widest - max((cell_len(word) for text in texts for word in text.split()), default=0)
