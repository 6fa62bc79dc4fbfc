"""Phase 2's measurement: a classifier on labelled reviews."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from torch import Tensor, nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch, Indices
from bert_mpq.compute.checkpoints import Checkpoints, pass_identity
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.forward import BatchUse, Completed
from bert_mpq.compute.outputs import outputs_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.resumable import ResumablePass
from bert_mpq.compute.workload import Workload
from bert_mpq.records.evaluation import Accuracy


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Figures, the prediction and the logits for each review of the sample, and the batches that ran.

    Args:
        predictions: (n,) in the order of the sample.
        logits: (n, 2), that of negative first.
    """

    accuracy: Accuracy
    predictions: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]
    batches: BatchUse

    def agreement(self, other: "Evaluation") -> float:
        """Return the share of the reviews on which both predict the same."""
        return float((self.predictions == other.predictions).mean())

    def divergence(self, reference: "Evaluation") -> float:
        """Return the mean KL(reference || self) of the logits in nats."""
        logits = (torch.from_numpy(each.logits) for each in (reference, self))
        return float(kl_of_logits(*logits).mean())


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
        model: a classifier with two outputs; its config says which means what. It is moved to the device.

    Raises:
        MpqError: E-MEMORY, E-DISTRIBUTED.
    """
    tokens, machine = work.tokens, work.machine
    module = machine.place(Logits(model).eval())
    distributed.use_weights_of_first(module)

    def forward(batch: Batch) -> Tensor:
        with machine.arithmetic():
            answer: Tensor = module(**batch.inputs(machine))
            return answer

    identity = functools.partial(pass_identity, module, work)
    answers = _Answers()
    checkpoint = checkpoints.open(title, identity) if checkpoints else None
    resumable = ResumablePass(work, reporter, checkpoint, answers.tensors)
    if resumable.resume(answers.load):
        reporter.note(f"{title}: going on from a checkpoint, {len(answers.order):,} reviews are done.")
    own = resumable.share([np.arange(len(tokens))])
    for done in resumable.run(forward, title, [own[~np.isin(own, answers.order)]]):
        answers.add(done)
    resumable.keep()
    logits = answers.of_all_processes(len(tokens))[:, list(outputs_of(model).order)]
    predictions = logits.argmax(1)
    batches = resumable.batches.of_all_processes()
    accuracy = figures(logits, predictions, tokens.labels, resumable.seconds, batches.count)
    return Evaluation(accuracy=accuracy, predictions=predictions, logits=logits, batches=batches)


class _Answers:
    """The logits so far of this process's reviews; a GPU is not waited for after every batch."""

    def __init__(self) -> None:
        self._order: list[Indices] = []
        self._logits: list[Tensor] = []

    @property
    def order(self) -> Indices:
        """(done,) the reviews that are done."""
        return np.concatenate([np.empty(0, np.int64), *self._order])

    def add(self, done: Completed[Tensor]) -> None:
        """Add a batch."""
        self._order.append(done.batch.indices)
        self._logits.append(done.result)

    def tensors(self) -> dict[str, Tensor]:
        """Return (done,) reviews and (done, 2) logits."""
        self._logits = [torch.cat([torch.empty(0, 2), *(logits.float().cpu() for logits in self._logits)])]
        return {"order": torch.from_numpy(self.order), "logits": self._logits[0]}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``tensors`` returned; raises ValueError or KeyError when it is something else."""
        order, logits = tensors["order"].numpy(), tensors["logits"]
        if logits.shape != (len(order), 2):
            raise ValueError("logits and reviews do not match")
        self._order, self._logits = [order], [logits]

    def of_all_processes(self, reviews: int) -> npt.NDArray[np.float64]:
        """Return (reviews, 2) logits; each process adds zeros for the reviews of the others.

        Raises:
            MpqError: E-DISTRIBUTED.
        """
        logits, own = torch.zeros(reviews, 2, dtype=torch.float64), self.tensors()
        logits[own["order"]] = own["logits"].double()
        distributed.add(logits)
        return logits.numpy()


def figures(
    logits: npt.NDArray[np.float64],
    predictions: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    seconds: float,
    batches: int = 0,
) -> Accuracy:
    """Return accuracy, precision, recall, F1 (positive class 1) and mean cross-entropy in nats.

    Precision, recall and F1 are 0 where their denominator is 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions, average="binary", zero_division=0
    )
    log_likelihood = scipy.special.log_softmax(logits, 1)[np.arange(len(labels)), labels]
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
        batches=batches,
    )
