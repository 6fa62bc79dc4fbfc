"""The loop of the one pass: shared by processes, stopped and resumed, always the same sums."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoint
from bert_mpq.compute.forward import BatchUse
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.resumable import ResumablePass
from bert_mpq.compute.workload import Workload
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.sensitivity.live_scores import LiveScores
from bert_mpq.similarity.jackknife import LEVEL

PASS_TITLE = "Compare activations"
Forward = Callable[[Batch], tuple[Tensor, Tensor, Tensor]]


class Pass:
    """One pass over the reviews, in every process on its share.

    Args:
        sums: empty; what the pass adds to.
        work: the sample, where it runs, and tokens per batch.
        looks: after how many reviews to look whether that is enough, the last one being all of them.
        watch: shows the scores so far.
        checkpoint: where to go on from, and to write to.
    """

    def __init__(
        self,
        sums: Accumulation,
        work: Workload,
        reporter: Reporter,
        looks: Sequence[int],
        watch: LiveScores,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.sums = sums
        self.confidence: float | None = None  # that of the last look
        self._resumable = ResumablePass(work, reporter, checkpoint, lambda: self.sums.state_dict())
        self._reporter, self._looks, self._watch = reporter, tuple(looks), watch
        self._device = work.machine.device
        parts = (sums.parts(np.arange(start, stop)) for start, stop in pairwise((0, *looks)))
        self._own = [self._resumable.share(part) for part in parts]
        self._empty = sums.empty
        self._aligned = distributed.size() == 1

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        return self._resumable.seconds

    def run(self, forward: Forward, confidence: Callable[[BlockSums], float] | None = None) -> BatchUse:
        """Run every batch that is left, then add up the sums of all processes; return what these ran at once.

        Args:
            forward: returns what ``Accumulation.add`` takes.
            confidence: asked at every look with the sums of all processes: from ``LEVEL`` on the pass ends.

        Raises:
            MpqError: E-MEMORY, E-DISTRIBUTED.
        """
        if self._resumable.resume(self._load):
            share = self.sums.done.sum() / max(1, sum(map(len, self._own)))
            self._reporter.note(f"{PASS_TITLE}: going on from a checkpoint, {share:.0%} is done.")
        self._align()
        for look, own in zip(self._looks, self._own, strict=True):
            self._run_to(look, own, forward)
            if confidence is not None:
                self.confidence = self._look(look, confidence)
                if self.confidence >= LEVEL:
                    break
        self._align()
        self.sums.flush()
        if distributed.size() > 1:
            self.sums.all_reduce(self._device)
        self._resumable.end()
        return self._resumable.batches.of_all_processes()

    def _run_to(self, look: int, own: Indices, forward: Forward) -> None:
        """Run what is left of this process's share of the reviews up to a look."""
        last = self._looks[-1]
        title = PASS_TITLE if self._looks == (last,) else f"{PASS_TITLE}, {look:,} of {last:,} reviews"
        for done in self._resumable.run(forward, title, self.sums.parts(own)):
            if distributed.rank() > 0:
                self._align()
            self.sums.add(done.batch.indices, *done.result)
            self._align()
            self._watch.after_batch(self.sums)

    def _look(self, look: int, confidence: Callable[[BlockSums], float]) -> float:
        """Ask with the sums of all processes; 0 where a resumed pass was farther already."""
        self._align()
        self.sums.flush()
        if any(distributed.gather(bool(self.sums.done[look:].any()))):
            return 0.0
        together = self.sums
        if distributed.size() > 1:  # a copy: this process goes on with its own
            together = self._empty()
            together.load_state_dict(self.sums.state_dict())
            together.all_reduce(self._device)
        found = confidence(together.so_far())
        return distributed.on_first(lambda: found)  # rounding must not let one process stop alone

    def _align(self) -> None:
        """Let every process subtract what process 0 subtracts, else sums could not be added up.

        Nothing comes of it until process 0 has begun; a resumed pass that subtracts something else begins
        anew.
        """
        if self._aligned:
            return
        own = self.sums.shifts
        shifts = distributed.on_first(lambda: own)
        self._aligned = shifts is not None
        same = own is shifts or (own is not None and shifts is not None and own.equal(shifts))
        if distributed.rank() == 0 or same:
            return
        if own is not None:
            self._reporter.note("The checkpoint is ignored: it does not belong to that of process 0.")
            self.sums = self._empty()
            self._resumable.start_anew()
        if shifts is not None:
            self.sums.use_shifts(shifts)

    def _load(self, tensors: Mapping[str, Tensor]) -> None:
        sums = self._empty()
        sums.load_state_dict(tensors)
        self.sums = sums
