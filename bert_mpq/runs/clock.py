"""Seconds per stage of a run."""

import time

from bert_mpq.records.context import Stage


class Clock:
    """Seconds per stage of a run."""

    def __init__(self) -> None:
        self.stages: tuple[Stage, ...] = ()
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.stages += (Stage(name=name, seconds=now - self._last),)
        self._last = now

    def skip(self) -> None:
        """Leave out the time since the last stage: it was measured elsewhere."""
        self._last = time.perf_counter()

    def seconds(self, name: str) -> float:
        """Return the seconds of a stage."""
        return sum(stage.seconds for stage in self.stages if stage.name == name)
