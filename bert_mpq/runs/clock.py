"""Seconds per stage of a run: one stage follows the other, and no second is in none."""

import time
from collections.abc import Iterable

from bert_mpq.records.context import Stage


class Clock:
    """Seconds per stage of a run.

    Args:
        begun: when the first stage began, by time.perf_counter; default now.
    """

    def __init__(self, begun: float | None = None) -> None:
        self.restart(begun)

    def restart(self, begun: float | None = None) -> None:
        """Forget all stages and begin the first one, now or when it began."""
        self.stages: tuple[Stage, ...] = ()
        self._last = time.perf_counter() if begun is None else begun

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.stages += (Stage(name=name, seconds=now - self._last),)
        self._last = now

    def split(self, stages: Iterable[Stage]) -> None:
        """End several stages that were measured elsewhere; the last one takes what none of them has.

        Together they can be longer than the time since the last stage: a resumed pass counts the seconds
        before it was stopped.
        """
        now, parts = time.perf_counter(), tuple(stages)
        rest = max(0.0, now - self._last - sum(stage.seconds for stage in parts))
        last = Stage(name=parts[-1].name, seconds=parts[-1].seconds + rest)
        self.stages += (*parts[:-1], last)
        self._last = now

    def take(self) -> tuple[Stage, ...]:
        """Return the stages since the last result, and leave them to it."""
        taken, self.stages = self.stages, ()
        return taken

    def seconds(self, name: str) -> float:
        """Return the seconds of a stage."""
        return sum(stage.seconds for stage in self.stages if stage.name == name)
