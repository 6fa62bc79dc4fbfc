"""The loop of the one pass: shared by processes, stopped and resumed, always the same sums."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoint, State
from bert_mpq.compute.forward import BatchUse, run_batches
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.sensitivity.live_scores import RunningScores
from bert_mpq.similarity.jackknife import LEVEL

TITLE = "Compare activations"
Forward = Callable[[Batch], tuple[Tensor, Tensor, Tensor]]


class Pass:
    """One pass over this process's share of the reviews.

    The batches are those that a single process would run with the whole sample, dealt out one by one, and a
    resumed pass runs those that were left: the same activations in every case, to the last bit.

    Args:
        sums: empty; what the pass adds to.
        work: the sample, where it runs, and tokens per batch.
        looks: after how many reviews to look whether that is enough, the last one being all of them.
        watch: shows the scores so far; default nothing does.
    """

    def __init__(
        self,
        sums: Accumulation,
        work: Workload,
        looks: Sequence[int] = (),
        watch: RunningScores | None = None,
    ) -> None:
        self.sums = sums
        self.batches = BatchUse(largest=0, budget=work.batch_tokens)
        self.seconds = 0.0
        self.confidence: float | None = None  # that of the last look
        self._work = work
        self._watch = watch
        self._looks = tuple(looks) or (len(work.tokens),)
        self._own = [self._share(np.arange(start, stop)) for start, stop in pairwise((0, *self._looks))]
        self._empty = sums.empty
        self._aligned = distributed.size() == 1

    def run(
        self,
        forward: Forward,
        reporter: Reporter,
        checkpoint: Checkpoint | None = None,
        confidence: Callable[[BlockSums], float] | None = None,
    ) -> None:
        """Run every batch that is left, then add up the sums of all processes.

        Args:
            forward: returns what ``Accumulation.add`` takes.
            reporter: shows the progress.
            checkpoint: where to go on from, and to write to.
            confidence: asked at every look with the sums of all processes: from ``LEVEL`` on the pass ends.

        Raises:
            MpqError: E-MEMORY, E-DISTRIBUTED.
        """
        if checkpoint is not None:
            self._resume(checkpoint, reporter)
        self._align_resumed(reporter)
        started = time.perf_counter() - self.seconds
        for look, own in zip(self._looks, self._own, strict=True):
            self._run(forward, reporter, checkpoint, look, own, started)
            if confidence is not None:
                self.confidence = self._look(look, confidence)
                if self.confidence >= LEVEL:
                    break
        self._align()
        self.sums.flush()
        if distributed.size() > 1:
            self.sums.all_reduce()
        self.batches = self.batches.of_all_processes()
        self.seconds = time.perf_counter() - started

    def _run(
        self,
        forward: Forward,
        reporter: Reporter,
        checkpoint: Checkpoint | None,
        look: int,
        own: Indices,
        started: float,
    ) -> None:
        """Run what is left of this process's share of the reviews up to a look."""
        parts = self.sums.parts(own)
        last = len(self._work.tokens)
        title = TITLE if self._looks == (last,) else f"{TITLE}, {look:,} of {last:,} reviews"
        work = dataclasses.replace(self._work, asked=self.batches.budget)
        for done in run_batches(work, forward, reporter, title, parts):
            if distributed.rank() > 0:
                self._align()
            self.sums.add(done.batch.indices, *done.result)
            self._align()
            if self._watch is not None:
                self._watch.after_batch(self.sums)
            self.batches = self.batches.after(done)
            self.seconds = time.perf_counter() - started
            if checkpoint is not None and checkpoint.due:
                checkpoint.write(self._state())

    def _share(self, reviews: Indices) -> Indices:
        batches = [
            batch
            for part in self.sums.parts(reviews)
            for batch in self._work.tokens.plan(self._work.batch_tokens, part)
        ]
        return np.concatenate([np.empty(0, np.int64), *distributed.share(batches)])

    def _look(self, look: int, confidence: Callable[[BlockSums], float]) -> float:
        """Ask process 0 with the sums of all; 0 where a resumed pass was farther already."""
        self._align()
        self.sums.flush()
        if any(distributed.gather(bool(self.sums.done[look:].any()))):
            return 0.0
        together = self.sums
        if distributed.size() > 1:  # a copy: this process goes on with its own
            together = self._empty()
            together.load_state_dict(self.sums.state_dict())
            together.all_reduce()
        return distributed.on_first(lambda: confidence(together.so_far()))

    def _align(self) -> None:
        """Once: let every process subtract what process 0 subtracts, else sums could not be added up."""
        if self._aligned:
            return
        shifts = distributed.on_first(lambda: tuple(shift.cpu() for shift in self.sums.shifts))
        if distributed.rank() > 0:
            self.sums.use_shifts(shifts)
        self._aligned = True

    def _align_resumed(self, reporter: Reporter) -> None:
        """Forget a resumed pass that does not fit that of process 0."""
        if self._aligned:
            return
        own = tuple(shift.cpu() for shift in self.sums.shifts)
        shifts = distributed.on_first(lambda: own)
        self._aligned = bool(shifts)
        if distributed.rank() == 0 or (len(own) == len(shifts) and all(map(torch.equal, own, shifts))):
            return
        if own:
            reporter.note("The checkpoint is ignored: it does not belong to that of process 0.")
            self.sums, self.seconds = self._empty(), 0.0
        if shifts:
            self.sums.use_shifts(shifts)

    def _state(self) -> State:
        return State(
            tensors=self.sums.state_dict(),
            facts={"batches": dataclasses.asdict(self.batches), "seconds": self.seconds},
        )

    def _resume(self, checkpoint: Checkpoint, reporter: Reporter) -> None:
        def load(state: State) -> Accumulation:
            sums = self._empty()
            sums.load_state_dict(state.tensors)
            self.batches, self.seconds = BatchUse(**state.facts["batches"]), float(state.facts["seconds"])
            return sums

        sums = checkpoint.restore(load)
        if sums is not None:
            self.sums = sums
            share = sums.done.sum() / max(1, sum(map(len, self._own)))
            reporter.note(f"{TITLE}: going on from a checkpoint, {share:.0%} is done.")
