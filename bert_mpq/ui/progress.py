"""Live progress bars for a terminal."""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.text import Text

from bert_mpq.reporting import Lines, Reporter, Silent, duration, one
from bert_mpq.ui.console import is_live

T = TypeVar("T")


class TimeColumn(ProgressColumn):
    """Time left while a stage runs, time taken once it is done."""

    def render(self, task: Task) -> Text:
        """Return ``1 min 42 s left`` or ``8.0 s``."""
        if task.finished:
            return Text(duration(task.finished_time or 0.0))
        return Text("" if task.time_remaining is None else f"{duration(task.time_remaining)} left")


class Bars:
    """One display for a whole run; finished stages stay. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(10, min(40, console.width - 48))),
            TaskProgressColumn(),
            TimeColumn(),
            console=console,
        )

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def track(
        self, items: Iterable[T], title: str, total: int, weight: Callable[[T], int] = one
    ) -> Iterator[T]:
        """Yield ``items`` under a bar."""
        task = self._progress.add_task(title, total=total)
        for item in items:
            yield item
            self._progress.advance(task, weight(item))
        self._progress.update(task, completed=total)

    def note(self, text: str) -> None:
        """Print ``text`` above the bars."""
        self._progress.console.print(text, soft_wrap=True)


class Unmanaged:
    """A reporter without a display to open or close, as a context manager."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def __enter__(self) -> Reporter:
        return self._reporter

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def make_reporter(console: Console, quiet: bool) -> "Bars | Unmanaged":
    """Return bars on a live terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        return Unmanaged(Silent())
    return Bars(console) if is_live(console) else Unmanaged(Lines())
