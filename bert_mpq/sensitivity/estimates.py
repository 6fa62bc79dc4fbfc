"""Every metric of every probe, from all reviews and without each block in turn."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import threadpoolctl
import torch

from bert_mpq.compute import distributed
from bert_mpq.compute.forward import attempted
from bert_mpq.compute.hardware import cores
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.sensitivity import LayerScore, Scores
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.settings.errors import ModelError
from bert_mpq.settings.metrics import Metric
from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import debiased_cka
from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.jackknife import Jackknife
from bert_mpq.similarity.linalg import finish
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity

Task = TypeVar("Task")
Answer = TypeVar("Answer")
STREAMS = 8  # tasks at a time on a GPU
SIMILARITIES: dict[Metric, Callable[[Covariances], Similarity]] = {
    "pwcca": pwcca,
    "svcca": svcca,
    "cka": cka,
    "debiased_cka": debiased_cka,
}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One metric of K probes.

    Args:
        scores: from all reviews, without intervals.
        jackknife: the logs with every replicate.
    """

    scores: Scores
    jackknife: Jackknife


def estimate(
    sums: BlockSums,
    metrics: Sequence[Metric],
    reporter: Reporter,
    replicates: bool = True,
    rows: str = "reviews",
) -> tuple[Estimate, ...]:
    """Return every similarity metric among ``metrics``, in this order.

    Where the sums are on the host, its cores are shared out among layers and replicates, one thread each:
    small decompositions gain nothing from many threads. Process 0 does it, and the others wait for it.
    Memory: the blocks, six d x d arrays a probe, and about ten a thread. Without ``replicates`` there is no
    jackknife.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """

    def estimates() -> tuple[Estimate, ...]:
        found = attempted(lambda: _estimates(sums, metrics, reporter, replicates, rows))
        if found is not None:
            return found[0]
        reporter.note("Out of memory: scoring on the host.")
        return _estimates(sums.on_host(), metrics, reporter, replicates, rows)

    return distributed.on_first(estimates)


def _estimates(
    sums: BlockSums, metrics: Sequence[Metric], reporter: Reporter, replicates: bool, rows: str
) -> tuple[Estimate, ...]:
    wanted = tuple(metric for metric in metrics if metric in SIMILARITIES)
    filled = [sums.blocks[block] for block in np.flatnonzero(sums.counts)]
    probes, device = range(len(sums.blocks[0])), sums.device
    try:
        totals = list(_in_parallel(sums.total, probes, device))
        whole = list(_in_parallel(Moments.covariances, totals, device))
    except ValueError as error:
        raise ModelError(f"The FP32 model is broken: {error}.", "Check the checkpoint.") from error
    references: dict[int, Covariances] = {}

    def work(task: tuple[int, int]) -> list[Similarity]:
        probe, replicate = task
        rest = totals[probe].without(filled[replicate - 1][probe]) if replicate else None
        covariances = whole[probe] if rest is None else rest.covariances()
        finish(device)
        covariances = covariances.sharing(references.setdefault(replicate, covariances))
        return [SIMILARITIES[metric](covariances) for metric in wanted]

    # A block alone leaves no rest.
    left_out = len(filled) if replicates and len(filled) > 1 else 0
    # Each replicate has a reference of its own, which its first probe decomposes: one after the other would
    # make all threads wait for the same one.
    tasks = list(product(probes, range(left_out + 1)))
    answers = (
        list(reporter.track(_in_parallel(work, tasks, sums.device), "Score layers", len(tasks)))
        if wanted
        else []
    )
    by_replicate = [answer for first in range(left_out + 1) for answer in answers[first :: left_out + 1]]
    return tuple(
        _estimate(metric, [answer[index] for answer in by_replicate], len(probes), rows)
        for index, metric in enumerate(wanted)
    )


def kl_estimate(sums: BlockSums) -> Estimate:
    """Return the mean KL of the logits of every probe; raises ValueError where none was added up."""
    if sums.kl is None:
        raise ValueError("no KL of the logits was added up")
    return divergence_estimate("kl", sums.kl, sums.counts)


def divergence_estimate(
    metric: Metric, sums: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> Estimate:
    """Return the mean of a divergence in nats over the reviews.

    Args:
        sums: (blocks, K) over the reviews of each block.
        counts: (blocks,) reviews.
    """
    total, filled = sums.sum(0), counts > 0
    values = np.maximum(total / counts.sum(), 0.0)  # rounding can leave -1e-17; NaN stays
    rest = (total - sums[filled]) / np.maximum(counts.sum() - counts[filled], 1)[:, None]
    return Estimate(
        scores=Scores(metric=metric, layers=tuple(map(_divergence, values.tolist()))),
        jackknife=Jackknife.from_scores(values, rest),
    )


def _divergence(value: float) -> LayerScore:
    if math.isfinite(value):
        return LayerScore(value=value)
    explanation = "the logits hold NaN or infinite values"
    return LayerScore(value=value, status="nonfinite", explanation=explanation, usable=False)


def _estimate(metric: Metric, answers: Sequence[Similarity], probes: int, rows: str) -> Estimate:
    # A replicate of too few reviews means nothing, and a layer that broke has no spread.
    usable = [a.distance if a.status in ("ok", "few_samples") else np.nan for a in answers]
    values = np.array(usable).reshape(-1, probes)
    layers = tuple(
        LayerScore(
            value=answer.distance,
            status=answer.status,
            explanation=answer.explanation(rows),
            ranks=answer.ranks,
            usable=answer.usable,
            noise_floor=answer.noise_floor,
        )
        for answer in answers[:probes]
    )
    return Estimate(
        scores=Scores(metric=metric, layers=layers), jackknife=Jackknife.from_scores(values[0], values[1:])
    )


def _in_parallel(
    work: Callable[[Task], Answer], tasks: Iterable[Task], device: torch.device
) -> Iterator[Answer]:
    """Yield what ``work`` gives for each task, in order.

    On the host all cores work, with one thread of linear algebra each; on a GPU several streams, so that what
    is between two decompositions does not wait for a third.
    """
    threads = torch.get_num_threads()
    count = STREAMS if device.type == "cuda" else _cores(threads)

    def begin() -> None:
        if device.type == "cuda":
            torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]

    def done(task: Task) -> Answer:
        answer = work(task)
        finish(device)
        return answer

    finish(device)
    if device.type == "cuda":  # several threads at once may not load the library that decomposes
        torch.linalg.cholesky_ex(torch.eye(1, dtype=torch.float64, device=device))
    torch.set_num_threads(1)
    try:
        with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(count, initializer=begin) as pool:
            yield from pool.map(done, tasks)
    finally:
        torch.set_num_threads(threads)


def _cores(threads: int) -> int:
    """Return the cores to use where torch has so many threads: torchrun leaves each process one."""
    return len(cores()) if distributed.launched() else threads
