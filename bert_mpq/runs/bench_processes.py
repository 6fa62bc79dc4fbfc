"""Models at work in processes of their own, for ``bench``: their memory, and their times side by side."""

import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bert_mpq.compute.reporting import Reporter
from bert_mpq.export.reload import fresh_environment
from bert_mpq.settings.errors import MpqError

Shape = tuple[int, int]  # texts, tokens


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one forward pass.

    Args:
        shape: texts and tokens of each.
        low: the fastest of all rounds.
        high: the slowest.
    """

    shape: Shape
    median: float
    low: float
    high: float

    @property
    def per_second(self) -> float:
        """Texts per second."""
        return self.shape[0] / self.median


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model that is measured: its name in tables, what ``text_classifier`` loads, and its weights files."""

    name: str
    model: str
    file_bytes: int


class Worker:
    """A process of ``bert_mpq.runs.bench_worker``."""

    def __init__(self, contender: Contender, threads: int) -> None:
        self._contender = contender
        environment = fresh_environment() | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bert_mpq.runs.bench_worker", contender.model, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.loaded: dict[str, Any] = self._read()

    def ask(self, question: dict[str, Any]) -> Any:
        """Return the answer to a question."""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._read()

    def run(self, shape: Shape) -> float:
        """Return the seconds of a forward pass."""
        return float(self.ask({"run": self.cut(shape)}))

    def cut(self, shape: Shape) -> Shape:
        """Return a shape that the model can take."""
        return shape[0], min(shape[1], self.loaded["longest"])

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            return json.loads(line)
        said = self._process.communicate()[1].strip().splitlines() or ["it ended without a word"]
        raise MpqError(
            "E-EXPORT",
            f"{self._contender.name} does not run: {said[-1][:200].rstrip('.')}.",
            "Export it again.",
        )

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def memory_of(contender: Contender, threads: int, largest: Shape) -> tuple[dict[str, Any], int]:
    """Return what a fresh process says of loading, and its resident bytes after a large batch."""
    with contextlib.closing(Worker(contender, threads)) as worker:
        worker.run(largest)
        return worker.loaded, int(worker.ask({"memory": None}))


def timings_of(
    contenders: Sequence[Contender], threads: int, shapes: Sequence[Shape], rounds: int, reporter: Reporter
) -> list[tuple[Timing, ...]]:
    """Return the timings of every contender; one pass before the first round is not counted."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(contextlib.closing(Worker(each, threads))) for each in contenders]
        seconds: list[dict[Shape, list[float]]] = [{shape: [] for shape in shapes} for _ in workers]
        for turn in reporter.track(range(rounds + 1), "Measure in turns", rounds + 1):
            for shape in shapes:
                for worker, taken in zip(workers, seconds, strict=True):
                    passed = worker.run(shape)
                    if turn:
                        taken[shape].append(passed)
    return [
        tuple(
            Timing(
                shape=worker.cut(shape),
                median=statistics.median(taken[shape]),
                low=min(taken[shape]),
                high=max(taken[shape]),
            )
            for shape in shapes
        )
        for worker, taken in zip(workers, seconds, strict=True)
    ]
