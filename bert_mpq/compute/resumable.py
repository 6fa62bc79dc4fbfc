"""A pass over reviews that goes on where it was stopped, on this process's share of the batches."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoint, State
from bert_mpq.compute.forward import BatchUse, Completed, run_batches
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload

Result = TypeVar("Result")


class ResumablePass:
    """Runs batches, counts what they took, and keeps what they gave so far in a checkpoint.

    The batches are those that a single process would run with the whole sample, dealt out one by one, and a
    resumed pass runs those that were left: the same results in every case, to the last bit.

    Args:
        checkpoint: where to go on from, and to write to; None = nowhere.
    """

    def __init__(
        self,
        work: Workload,
        reporter: Reporter,
        checkpoint: Checkpoint | None,
        so_far: Callable[[], Mapping[str, Tensor]],
    ) -> None:
        self._work, self._reporter = work, reporter
        self._checkpoint, self._so_far = checkpoint, so_far
        self.start_anew()

    def start_anew(self) -> None:
        """Forget what was run."""
        self.batches = BatchUse(largest=0, budget=self._work.batch_tokens)
        self._started = self._reporter.clock()

    @property
    def seconds(self) -> float:
        """Seconds of the pass until now, those before it was stopped included."""
        return self._reporter.clock() - self._started

    def resume(self, load: Callable[[Mapping[str, Tensor]], None]) -> bool:
        """Give ``load`` the results that the checkpoint holds; return whether there were any of use."""

        def read(state: State) -> bool:
            batches, seconds = BatchUse(**state.facts["batches"]), float(state.facts["seconds"])
            load(state.tensors)
            self.batches, self._started = batches, self._reporter.clock() - seconds
            return True

        return self._checkpoint is not None and self._checkpoint.restore(read) is not None

    def share(self, parts: Sequence[Indices]) -> Indices:
        """Return the reviews of this process, when batches are made within each of ``parts``."""
        tokens, size = self._work.tokens, self._work.batch_tokens
        batches = [batch for part in parts for batch in tokens.plan(size, part)]
        return np.concatenate([np.empty(0, np.int64), *distributed.share(batches)])

    def run(
        self, forward: Callable[[Batch], Result], title: str, parts: Sequence[Indices]
    ) -> Iterator[Completed[Result]]:
        """Yield as ``run_batches``; what the caller adds to the results is kept when it is time.

        Raises:
            MpqError: E-MEMORY.
        """
        work = dataclasses.replace(self._work, asked=self.batches.budget)
        for done in run_batches(work, forward, self._reporter, title, parts):
            yield done
            self.batches = self.batches.after(done)
            if self._checkpoint is not None and self._checkpoint.due:
                self._write(self._checkpoint)

    def keep(self) -> None:
        """Write the results once more where the pass took long: the stages after it may be stopped, too."""
        if self._checkpoint is not None and self._checkpoint.written is not None:
            self._write(self._checkpoint)

    def end(self) -> None:
        """End the pass: its checkpoint stays until the run ends, the module that was run does not."""
        if self._checkpoint is not None:
            self._checkpoint.stage_over()

    def _write(self, checkpoint: Checkpoint) -> None:
        facts = {"batches": dataclasses.asdict(self.batches), "seconds": self.seconds}
        checkpoint.write(State(tensors=self._so_far(), facts=facts))
