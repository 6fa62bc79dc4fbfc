"""Run every batch through a module, with smaller batches when memory runs out."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices, TokenizedReviews
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.settings.errors import MpqError

Result = TypeVar("Result")
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed")


@dataclass(frozen=True, kw_only=True)
class Completed(Generic[Result]):
    """A batch that is done.

    Args:
        budget: tokens per batch that it was planned for; smaller than asked once memory has run out.
    """

    batch: Batch
    result: Result
    budget: int


@dataclass(frozen=True, kw_only=True)
class BatchUse:
    """The batches that a stage really ran.

    Args:
        largest: most reviews in one forward pass.
        budget: tokens per forward pass at the end; less than asked when memory has run out.
    """

    largest: int
    budget: int

    def after(self, done: Completed[Result]) -> "BatchUse":
        """Return the use with one more batch."""
        return BatchUse(largest=max(self.largest, len(done.batch.indices)), budget=done.budget)

    def of_all_processes(self) -> "BatchUse":
        """Return the largest batch and the smallest budget of all processes."""
        uses = distributed.gather(self)
        return BatchUse(largest=max(use.largest for use in uses), budget=min(use.budget for use in uses))


def run_batches(
    work: Workload,
    forward: Callable[[Batch], Result],
    reporter: Reporter,
    title: str,
    parts: Sequence[Indices] | None = None,
) -> Iterator[Completed[Result]]:
    """Yield each batch with what ``forward`` returned, every review exactly once, in a fixed order.

    When memory runs out the budget is halved for the reviews that are left. ``forward`` must leave nothing
    behind when it fails; on a CPU several threads call it at the same time.

    Args:
        reporter: shows the progress, in tokens.
        parts: reviews to work on, one part after another, no batch across two of them; default all in one.

    Raises:
        MpqError: E-MEMORY when a single review does not fit.
    """
    tokens = work.tokens
    chosen = [np.arange(len(tokens))] if parts is None else parts

    def plan(size: int, left: Indices | None = None) -> list[Indices]:
        kept = chosen if left is None else [part[np.isin(part, left)] for part in chosen]
        return [batch for part in kept for batch in tokens.plan(size, part)]

    def results() -> Iterator[Completed[Result]]:
        size = work.batch_tokens
        with work.machine.working() as workers, _Attempts(tokens, forward, workers) as attempts:
            attempts.replace(plan(size))
            while (done := attempts.next()) is not None:
                batch, result = done
                if result is not None:
                    yield Completed(batch=batch, result=result[0], budget=size)
                    continue
                if len(batch.indices) == 1:
                    raise no_memory()
                size = max(1, min(size, batch.tokens) // 2)
                attempts.replace(plan(size, np.concatenate([batch.indices, *attempts.left()])))
                reporter.note(f"Out of memory: going on with {size:,} tokens per batch.")

    total = sum(int(tokens.lengths[part].sum()) for part in chosen)
    return reporter.track(results(), title, total, lambda done: int(tokens.lengths[done.batch.indices].sum()))


def memory_ran_out(error: Exception) -> bool:
    """Return whether torch could not get the memory it asked for."""
    text = str(error).lower()  # torch.OutOfMemoryError is a RuntimeError
    return isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY)


def attempted(work: Callable[[], Result]) -> tuple[Result] | None:
    """Return what ``work`` returns, in a tuple; None, and what can be freed is free, when memory ran out."""
    try:
        return (work(),)
    except (MemoryError, RuntimeError) as error:
        if not memory_ran_out(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Say in plain words that memory ran out where no smaller batch can help.

    Raises:
        MpqError: E-MEMORY.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not memory_ran_out(error):
            raise
        raise MpqError(
            "E-MEMORY",
            "Out of memory: the model and its quantized copies do not fit.",
            "Try --device cpu, or fewer --probe-bits.",
        ) from error


def no_memory() -> MpqError:
    """Return the error of a single review that does not fit."""
    return MpqError(
        "E-MEMORY", "Out of memory even with one review per batch.", "Try --max-length 256 or --device cpu."
    )


class _Attempts(Generic[Result]):
    """Batches in order, each tried once; with several workers the next ones are already under way."""

    def __init__(self, tokens: TokenizedReviews, forward: Callable[[Batch], Result], workers: int) -> None:
        self._tokens = tokens
        self._forward = forward
        self._workers = workers
        self._todo: deque[Indices] = deque()
        self._running: deque[tuple[Indices, Future[tuple[Batch, tuple[Result] | None]]]] = deque()
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def __enter__(self) -> "_Attempts[Result]":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def left(self) -> list[Indices]:
        """Return the batches that ``next`` has not returned yet."""
        return [*(indices for indices, _ in self._running), *self._todo]

    def replace(self, plan: list[Indices]) -> None:
        """Forget the batches that are left and go on with ``plan``."""
        for _, future in self._running:
            future.cancel()
        self._running.clear()
        self._todo = deque(plan)

    def next(self) -> tuple[Batch, tuple[Result] | None] | None:
        """Return the next batch and its result in a tuple (None: memory ran out), or None at the end."""
        if self._pool is None:
            return self._attempt(self._todo.popleft()) if self._todo else None
        while self._todo and len(self._running) < 2 * self._workers:
            indices = self._todo.popleft()
            self._running.append((indices, self._pool.submit(self._attempt, indices)))
        return self._running.popleft()[1].result() if self._running else None

    def _attempt(self, indices: Indices) -> tuple[Batch, tuple[Result] | None]:
        batch = self._tokens.batch(indices)
        return batch, attempted(lambda: self._forward(batch))
