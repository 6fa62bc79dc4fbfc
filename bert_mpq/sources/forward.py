"""Run every batch through a module, with smaller batches when memory runs out."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch

from bert_mpq.errors import MpqError
from bert_mpq.reporting import Reporter
from bert_mpq.sources.batches import Batch, TokenizedReviews

Result = TypeVar("Result")
CPU_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


def run_batches(
    tokens: TokenizedReviews,
    budget: int,
    forward: Callable[[Batch], Result],
    reporter: Reporter,
    title: str,
) -> Iterator[tuple[Batch, Result]]:
    """Yield each batch with what ``forward`` returned, every review exactly once.

    When memory runs out the budget is halved for the reviews that are left. ``forward`` must leave nothing
    behind when it fails.

    Args:
        tokens: the sample.
        budget: tokens per batch, padding included.
        forward: the work.
        reporter: shows the progress, in tokens.
        title: name of the stage.

    Raises:
        MpqError: E-MEMORY when a single review does not fit.
    """

    def results() -> Iterator[tuple[Batch, Result]]:
        size = budget
        todo = deque(tokens.plan(size))
        while todo:
            indices = todo.popleft()
            batch = tokens.batch(indices)
            result = _attempt(forward, batch)
            if result is not None:
                yield batch, result[0]
                continue
            if len(indices) == 1:
                raise MpqError(
                    "E-MEMORY",
                    "Out of memory even with one review per batch.",
                    "Try --max-length 256 or --device cpu.",
                )
            size = max(1, min(size, batch.tokens) // 2)
            todo = deque(tokens.plan(size, np.concatenate([indices, *todo])))
            reporter.note(f"Out of memory: going on with {size:,} tokens per batch.")

    total = int(tokens.lengths.sum())
    return reporter.track(results(), title, total, lambda done: int(tokens.lengths[done[0].indices].sum()))


def _attempt(forward: Callable[[Batch], Result], batch: Batch) -> tuple[Result] | None:
    """Return the result in a tuple, or None when memory ran out."""
    try:
        return (forward(batch),)
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not any(message in text for message in CPU_MESSAGES):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
