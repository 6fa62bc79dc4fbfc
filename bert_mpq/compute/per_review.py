"""A pass that gives a few numbers for each review: shared by processes, stopped and resumed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoints, Identity
from bert_mpq.compute.forward import BatchUse, Completed
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.resumable import ResumablePass
from bert_mpq.compute.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a pass gave.

    Args:
        rows: (n, columns) float32, in the order of the sample.
        batches: what was run at once.
        seconds: of the pass, those before it was stopped included.
    """

    rows: npt.NDArray[np.float32]
    batches: BatchUse
    seconds: float


def answer_each_review(
    forward: Callable[[Batch], Tensor],
    columns: int,
    work: Workload,
    reporter: Reporter,
    title: str,
    identity: Identity,
    checkpoints: Checkpoints | None = None,
) -> Answers:
    """Run every review once; several processes share the batches, and all of them get the rows.

    Args:
        forward: returns (B, columns) for a batch.
        title: of the stage; names its checkpoint.
        identity: everything that the rows depend on.
        checkpoints: where to go on from, and to write to; None = nowhere.

    Raises:
        MpqError: E-MEMORY, E-DISTRIBUTED.
    """
    reviews = len(work.tokens)
    answers = _Rows(columns)
    checkpoint = checkpoints.open(title, identity) if checkpoints else None
    resumable = ResumablePass(work, reporter, checkpoint, answers.tensors)
    if resumable.resume(answers.load):
        reporter.note(f"{title}: going on from a checkpoint, {len(answers.order):,} reviews are done.")
    own = resumable.share([np.arange(reviews)])
    for done in resumable.run(forward, title, [own[~np.isin(own, answers.order)]]):
        answers.add(done)
    resumable.keep()
    resumable.end()
    rows = answers.of_all_processes(reviews)
    return Answers(rows=rows, batches=resumable.batches.of_all_processes(), seconds=resumable.seconds)


class _Rows:
    """The rows so far of this process's reviews; a GPU is not waited for after every batch."""

    def __init__(self, columns: int) -> None:
        self._order: list[Indices] = []
        self._rows = [torch.empty(0, columns)]

    @property
    def order(self) -> Indices:
        """(done,) the reviews that are done."""
        return np.concatenate([np.empty(0, np.int64), *self._order])

    def add(self, done: Completed[Tensor]) -> None:
        self._order.append(done.batch.indices)
        self._rows.append(done.result)

    def tensors(self) -> dict[str, Tensor]:
        """Return (done,) reviews and (done, columns) rows."""
        self._rows = [torch.cat([rows.float().cpu() for rows in self._rows])]
        return {"order": torch.from_numpy(self.order), "rows": self._rows[0]}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``tensors`` returned; raises ValueError or KeyError when it is something else."""
        order, rows = tensors["order"].numpy(), tensors["rows"]
        if rows.shape != (len(order), self._rows[0].shape[1]):
            raise ValueError("rows and reviews do not match")
        self._order, self._rows = [order], [rows]

    def of_all_processes(self, reviews: int) -> npt.NDArray[np.float32]:
        """Return (reviews, columns); each process adds zeros for the reviews of the others.

        Raises:
            MpqError: E-DISTRIBUTED.
        """
        own = self.tensors()
        rows = torch.zeros(reviews, own["rows"].shape[1])
        rows[own["order"]] = own["rows"]
        distributed.add(rows)
        return rows.numpy()
