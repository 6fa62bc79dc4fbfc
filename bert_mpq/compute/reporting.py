"""How the engine tells its progress, whatever shows it."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TextIO, TypeVar

from bert_mpq.records.numbers import duration

T = TypeVar("T")


def one(_: object) -> int:
    """Weigh every item alike."""
    return 1


class Reporter:
    """Shows progress. The engine only ever writes ``for x in reporter.track(xs, "Evaluate", total)``.

    This one shows nothing; others show what they like.
    """

    def track(
        self, items: Iterable[T], title: str, total: int, weight: Callable[[T], int] = one
    ) -> Iterator[T]:
        """Yield ``items``; each one done adds ``weight(item)`` of ``total`` (tokens, reviews, layers)."""
        yield from items

    def note(self, text: str) -> None:
        """Show one sentence that the user should see."""

    def scores(self, title: str, values: Mapping[str, float]) -> None:
        """Show the score of every unit by its name, in the order of the model, over the reviews so far.

        The engine calls it every second or so while batches come in; the final scores follow in the result.
        """


class Silent(Reporter):
    """Shows nothing: for library use and tests."""


class Lines(Reporter):
    """Plain lines, no scores, for pipes and logs: as a stage starts and ends, and every ``every`` seconds."""

    def __init__(self, stream: TextIO | None = None, every: float = 30.0) -> None:
        self._stream = stream or sys.stderr
        self._every = every

    def track(
        self, items: Iterable[T], title: str, total: int, weight: Callable[[T], int] = one
    ) -> Iterator[T]:
        """Yield ``items`` and print percent, elapsed and remaining time."""
        start = shown = time.monotonic()
        done = 0
        self.note(f"{title} ...")
        for item in items:
            yield item
            done += weight(item)
            now = time.monotonic()
            if now - shown >= self._every and 0 < done < total:
                shown = now
                remaining = (now - start) * (total - done) / done
                self.note(f"{title}: {done / total:.0%}, {duration(remaining)} left")
        self.note(f"{title}: done in {duration(time.monotonic() - start)}")

    def note(self, text: str) -> None:
        """Print ``text`` on its own line."""
        print(text, file=self._stream, flush=True)
