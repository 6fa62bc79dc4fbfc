"""Phase 2's measurement: a classifier on labelled reviews."""

import dataclasses
import functools
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoint, Checkpoints, State, pass_identity
from bert_mpq.compute.forward import BatchUse, Completed, run_batches
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.records.evaluation import Accuracy


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures, the prediction and the logits for each review of the sample, and the batches that ran.

    Args:
        accuracy: the figures.
        predictions: (n,) in the order of the sample.
        logits: (n, 2).
        batches: what was run at once.
    """

    accuracy: Accuracy
    predictions: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]
    batches: BatchUse


class Logits(nn.Module):
    """A classifier that returns the bare logits, so that ``DataParallel`` can gather them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (B, labels) logits for (B, T) ids and mask."""
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def evaluate(
    model: nn.Module,
    work: Workload,
    reporter: Reporter,
    title: str,
    checkpoints: Checkpoints | None = None,
) -> Evaluation:
    """Classify every review once; several processes share the batches, and all of them get the result.

    Args:
        model: a classifier with two labels; it is moved to the device.
        work: the labelled reviews, and where to run.
        reporter: shows the progress.
        title: name of the stage.
        checkpoints: where to go on from, and to write to; default none.

    Raises:
        MpqError: E-MEMORY, E-DISTRIBUTED.
    """
    tokens, machine = work.tokens, work.machine
    module = machine.place(Logits(model).eval())
    distributed.use_weights_of_first(module)

    def forward(batch: Batch) -> Tensor:
        with machine.arithmetic():
            answer: Tensor = module(machine.move(batch.input_ids), machine.move(batch.attention_mask))
            return answer

    identity = functools.partial(pass_identity, module, work)
    checkpoint = checkpoints.open(title, identity) if checkpoints else None
    progress = Progress.resumed(checkpoint, work.batch_tokens, reporter, title)
    started = time.perf_counter() - progress.seconds
    own = np.concatenate([np.empty(0, np.int64), *distributed.share(tokens.plan(work.batch_tokens))])
    left = own[~np.isin(own, progress.order)]
    work = dataclasses.replace(work, asked=progress.batches.budget)
    for done in run_batches(work, forward, reporter, title, [left]):
        progress.add(done, time.perf_counter() - started)
        if checkpoint is not None and checkpoint.due:
            checkpoint.write(progress.state())
    if checkpoint is not None and checkpoint.written is not None:
        checkpoint.write(progress.state())  # the stages after this one may be stopped, too
    logits = progress.logits_of_all_processes(len(tokens))
    predictions = logits.argmax(1)
    accuracy = figures(logits, predictions, tokens.labels, time.perf_counter() - started)
    batches = progress.batches.of_all_processes()
    return Evaluation(accuracy=accuracy, predictions=predictions, logits=logits, batches=batches)


class Progress:
    """The logits so far of this process's reviews.

    Args:
        budget: tokens per batch.
    """

    def __init__(self, budget: int) -> None:
        self.batches = BatchUse(largest=0, budget=budget)
        self.seconds = 0.0
        self._order: list[Indices] = []
        self._logits: list[Tensor] = []  # copied back at the end: a GPU is not waited for after every batch

    @classmethod
    def resumed(
        cls, checkpoint: Checkpoint | None, budget: int, reporter: Reporter, title: str
    ) -> "Progress":
        """Return the progress that a checkpoint holds, or none."""
        progress = cls(budget)
        if checkpoint is not None and checkpoint.restore(progress.load):
            reporter.note(f"{title}: going on from a checkpoint, {len(progress.order):,} reviews are done.")
        return progress

    @property
    def order(self) -> Indices:
        """(done,) the reviews that are done."""
        return np.concatenate([np.empty(0, np.int64), *self._order])

    def add(self, done: Completed[Tensor], seconds: float) -> None:
        """Add a batch; ``seconds`` is the time until now."""
        self._order.append(done.batch.indices)
        self._logits.append(done.result)
        self.batches, self.seconds = self.batches.after(done), seconds

    def logits_of_all_processes(self, reviews: int) -> npt.NDArray[np.float64]:
        """Return (reviews, 2) logits; each process adds zeros for the reviews of the others.

        Raises:
            MpqError: E-DISTRIBUTED.
        """
        logits = torch.zeros(reviews, 2, dtype=torch.float64)
        logits[torch.from_numpy(self.order)] = self._so_far().double()
        distributed.add(logits)
        return logits.numpy()

    def state(self) -> State:
        """Return what ``load`` takes."""
        return State(
            tensors={"order": torch.from_numpy(self.order), "logits": self._so_far()},
            facts={"batches": dataclasses.asdict(self.batches), "seconds": self.seconds},
        )

    def load(self, state: State) -> bool:
        """Take over a state; raises ValueError, TypeError or KeyError when it is none."""
        order, logits = state.tensors["order"].numpy(), state.tensors["logits"]
        if logits.shape != (len(order), 2):
            raise ValueError("logits and reviews do not match")
        self.batches, self.seconds = BatchUse(**state.facts["batches"]), float(state.facts["seconds"])
        self._order, self._logits = [order], [logits]
        return True

    def _so_far(self) -> Tensor:
        self._logits = [torch.cat([torch.empty(0, 2), *(logits.float().cpu() for logits in self._logits)])]
        return self._logits[0]


def figures(
    logits: npt.NDArray[np.float64],
    predictions: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    seconds: float,
) -> Accuracy:
    """Return accuracy, precision, recall, F1 (positive class 1) and mean cross-entropy in nats.

    Precision, recall and F1 are 0 where their denominator is 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, average="binary", zero_division=0
    )
    shifted = logits - logits.max(1, keepdims=True)
    log_likelihood = shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(1))
    correct = int((predictions == labels).sum())
    return Accuracy(
        accuracy=correct / len(labels),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        loss=float(-log_likelihood.mean()),
        correct=correct,
        size=len(labels),
        seconds=seconds,
    )
