"""Run every batch through a module, with smaller batches when memory runs out."""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
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
        count: forward passes.
    """

    largest: int
    budget: int
    count: int = 0

    def after(self, done: Completed[Result]) -> "BatchUse":
        """Return the use with one more batch."""
        largest = max(self.largest, len(done.batch.indices))
        return BatchUse(largest=largest, budget=done.budget, count=self.count + 1)

    def of_all_processes(self) -> "BatchUse":
        """Return the largest batch, the smallest budget and the forward passes of all processes."""
        uses = distributed.gather(self)
        return BatchUse(
            largest=max(use.largest for use in uses),
            budget=min(use.budget for use in uses),
            count=sum(use.count for use in uses),
        )


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
    lengths = work.tokens.lengths
    chosen = [np.arange(len(lengths))] if parts is None else parts
    total = sum(int(lengths[part].sum()) for part in chosen)
    completed = _completed(work, forward, reporter, chosen)
    return reporter.track(completed, title, total, lambda done: int(lengths[done.batch.indices].sum()))


def _completed(
    work: Workload, forward: Callable[[Batch], Result], reporter: Reporter, parts: Sequence[Indices]
) -> Iterator[Completed[Result]]:
    tokens = work.tokens

    def attempt(indices: Indices) -> tuple[Batch, tuple[Result] | None]:
        batch = tokens.batch(indices)
        return batch, attempted(lambda: forward(batch))

    size, ran = work.batch_tokens, np.zeros(len(tokens), bool)
    with work.machine.working() as workers:
        while plan := [batch for part in parts for batch in tokens.plan(size, part[~ran[part]])]:
            with contextlib.closing(_in_order(attempt, plan, workers)) as attempts:
                for batch, result in attempts:
                    if result is None:
                        break
                    ran[batch.indices] = True
                    yield Completed(batch=batch, result=result[0], budget=size)
                else:
                    return
            if len(batch.indices) == 1:
                raise no_memory()
            size = max(1, min(size, batch.tokens) // 2)
            reporter.note(f"Out of memory: going on with {size:,} tokens per batch.")


def _in_order(
    attempt: Callable[[Indices], Result], plan: Sequence[Indices], workers: int
) -> Generator[Result, None, None]:
    """Yield what ``attempt`` gives for each batch; with several workers the next ones are under way."""
    if workers == 1:
        yield from map(attempt, plan)
        return
    running: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for indices in plan:
            running.append(pool.submit(attempt, indices))
            if len(running) == 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
    """Say in plain words that memory ran out where no smaller batch can help; raises MpqError E-MEMORY."""
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
