"""Live progress for a terminal: a bar for every stage, and each layer's score while batches come in."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from bert_mpq.compute.reporting import Lines, Pace, Reporter, one
from bert_mpq.records.numbers import duration, score_text
from bert_mpq.ui.console import is_accessible, is_utf8
from bert_mpq.ui.keyboard import typing_ignored
from bert_mpq.ui.suspension import suspension_left_out
from bert_mpq.ui.views.sensitivity import bar

T = TypeVar("T")


class TimeColumn(ProgressColumn):
    """Time left while a stage runs, time taken once it is done.

    Args:
        expected: seconds that each stage should take, by title.
    """

    def __init__(self, expected: Mapping[str, float]) -> None:
        super().__init__()
        self._expected = expected

    def render(self, task: Task) -> Text:
        """Return ``1 min 42 s left`` or ``8.0 s``."""
        if task.finished:
            return Text(duration(task.finished_time or 0.0))
        pace = Pace(
            done=task.completed,
            total=task.total or 1,
            elapsed=task.elapsed or 0.0,
            expected=self._expected.get(task.description),
        )
        return Text("" if pace.left is None else f"{duration(pace.left)} left")


class Bars(Reporter):
    """One display for a whole run; finished stages stay. Use as a context manager."""

    def __init__(self, console: Console, expected: Mapping[str, float] | None = None) -> None:
        self._console = console
        self._expected = expected or {}
        self._typing, self._open = contextlib.ExitStack(), contextlib.ExitStack()
        self._begin()

    def _begin(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(10, min(40, self._console.width - 52))),
            TaskProgressColumn(),
            TimeColumn(self._expected),
            console=self._console,
            get_time=self.clock,
        )
        self._scores: tuple[str, dict[str, float]] | None = None
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=8)

    def __enter__(self) -> "Bars":
        self._show()
        self._open.enter_context(suspension_left_out(self.clock, self._hide, self._show))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()
        self._scores = None  # the result has its own table
        self._hide()

    def _show(self) -> None:
        self._typing.enter_context(typing_ignored())
        self._live.start()

    def _hide(self) -> None:
        self._live.stop()
        self._typing.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """End the display, for results between two parts of a run; the next part has a new one."""
        self.__exit__()
        yield
        self._begin()
        self.__enter__()

    def track(
        self, items: Iterable[T], title: str, total: int, weight: Callable[[T], int] = one
    ) -> Iterator[T]:
        """Yield ``items`` under a bar."""
        task = self._progress.add_task(title, total=total)
        for item in items:
            yield item
            self._progress.advance(task, weight(item))
        self._progress.update(task, completed=total)
        self._scores = None

    def note(self, text: str) -> None:
        """Print ``text`` above the bars."""
        self._console.print(text)

    def scores(self, title: str, values: Mapping[str, float]) -> None:
        """Show a bar per unit below the stages, until the stage ends."""
        self._scores = (title, dict(values))

    def _render(self) -> RenderableType:
        if self._scores is None:
            return self._progress
        room = self._console.height - len(self._progress.tasks) - 2
        return Group(self._progress, *score_bars(*self._scores, self._console, room))


def score_bars(title: str, values: Mapping[str, float], console: Console, room: int) -> list[RenderableType]:
    """Return a heading and a bar per unit, in the order given; the largest only where ``room`` is short."""
    if room < 3 or not values:
        return []
    largest = set(sorted(values, key=lambda name: -values[name])[: room - 1])
    kept = {name: value for name, value in values.items() if name in largest}
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    length = max(10, min(40, console.width - 20 - max(map(len, kept))))
    for name, value in kept.items():
        drawn = bar((value, value), max(values.values()), length, is_utf8(console))
        table.add_row(f"  {name}", score_text(value), drawn)
    return [Text(title), table]


class Undrawn(Reporter):
    """No display, so that none is in the way of results. Use as a context manager."""

    def __enter__(self) -> "Undrawn":
        self._open = contextlib.ExitStack()
        self._open.enter_context(suspension_left_out(self.clock))
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        return contextlib.nullcontext()


class PlainLines(Undrawn, Lines):
    """Plain lines, for pipes, logs and screen readers."""

    def __enter__(self) -> Undrawn:
        super().__enter__()
        if is_accessible():  # at a terminal; elsewhere nobody types
            self._open.enter_context(typing_ignored())
        return self


Display = Bars | Undrawn
