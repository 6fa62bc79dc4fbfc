"""How the engine tells its progress, whatever shows it."""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TextIO, TypeVar

from bert_mpq.records.numbers import duration

T = TypeVar("T")


def one(_: object) -> int:
    """Weigh every item alike."""
    return 1


class WorkClock:
    """Seconds of work: time.perf_counter, but it stands still while the process is stopped."""

    def __init__(self) -> None:
        self._away = 0.0

    def __call__(self) -> float:
        """Return the seconds until now; only differences have a meaning."""
        return time.perf_counter() - self._away

    def leave_out(self, seconds: float) -> None:
        """Take time away that was no work."""
        self._away += seconds


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How far a stage is.

    Args:
        done: of ``total``.
        elapsed: seconds of work so far.
        expected: seconds that all of it should take, by an earlier run; None where there was none.
    """

    done: float
    total: float
    elapsed: float
    expected: float | None = None

    @property
    def left(self) -> float | None:
        """The seconds to go: by the rate so far as soon as there is one, before that by the earlier run."""
        if self.done > 0:
            return self.elapsed * (self.total - self.done) / self.done
        return None if self.expected is None else max(0.0, self.expected - self.elapsed)


class Reporter:
    """Shows progress. The engine only ever writes ``for x in reporter.track(xs, "Evaluate", total)``.

    This one shows nothing; others show what they like.
    """

    @functools.cached_property
    def clock(self) -> WorkClock:
        """What the seconds of a run are taken from; who lets the process be stopped tells it."""
        return WorkClock()

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
    """Plain lines, no scores, for pipes and logs: as a stage starts and ends, and every ``every`` seconds.

    Args:
        expected: seconds that each stage should take, by title.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        every: float = 30.0,
        expected: Mapping[str, float] | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        self._every = every
        self._expected = expected or {}

    def track(
        self, items: Iterable[T], title: str, total: int, weight: Callable[[T], int] = one
    ) -> Iterator[T]:
        """Yield ``items`` and print percent, elapsed and remaining time."""
        start = shown = self.clock()
        done = 0

        def tell() -> None:
            nonlocal shown
            now = self.clock()
            if now - shown >= self._every and done < total:
                shown = now
                pace = Pace(done=done, total=total, elapsed=now - start, expected=self._expected.get(title))
                left = "" if pace.left is None else f", {duration(pace.left)} left"
                self.note(f"{title}: {done / total:.0%}{left}")

        self.note(f"{title} ...")
        with _repeated(tell, max(1.0, self._every)):  # one item can take long
            for item in items:
                yield item
                done += weight(item)
                tell()
        self.note(f"{title}: done in {duration(self.clock() - start)}")

    def note(self, text: str) -> None:
        """Print ``text`` on its own line."""
        print(text, file=self._stream, flush=True)


@contextlib.contextmanager
def _repeated(call: Callable[[], None], seconds: float) -> Iterator[None]:
    """Call a function every so many seconds meanwhile, from a thread of its own."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(seconds):
            call()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
