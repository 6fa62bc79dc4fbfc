"""Seconds per stage of a run: one stage follows the other, and no second is in none."""

from collections.abc import Iterable

from bert_mpq.compute.reporting import WorkClock
from bert_mpq.records.context import Stage


class Clock:
    """Seconds of work per stage of a run."""

    def __init__(self) -> None:
        self.restart(WorkClock())

    def restart(self, work: WorkClock, begun: float | None = None) -> None:
        """Forget all stages and begin the first one.

        Args:
            work: the clock of the run's reporter.
            begun: when the first stage began, by time.perf_counter; default now.
        """
        self.stages: tuple[Stage, ...] = ()
        self._work = work
        self._last = work() if begun is None else begun

    def lap(self, name: str) -> None:
        """End a stage."""
        now = self._work()
        self.stages += (Stage(name=name, seconds=now - self._last),)
        self._last = now

    def split(self, stages: Iterable[Stage]) -> None:
        """End several stages that were measured elsewhere; the last one takes what none of them has.

        Together they can be longer than the time since the last stage: a resumed pass counts the seconds
        before it was stopped.
        """
        now, parts = self._work(), tuple(stages)
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
