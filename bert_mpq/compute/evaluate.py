"""Phase 2's measurement: a classifier on labelled reviews."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from torch import Tensor, nn

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Batch
from bert_mpq.compute.checkpoints import Checkpoints, pass_identity
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.forward import BatchUse
from bert_mpq.compute.outputs import outputs_of
from bert_mpq.compute.per_review import answer_each_review
from bert_mpq.compute.reporting import Reporter
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
    answers = answer_each_review(forward, 2, work, reporter, title, identity, checkpoints)
    logits = answers.rows.astype(np.float64)[:, list(outputs_of(model).order)]
    predictions = logits.argmax(1)
    return Evaluation(
        accuracy=figures(logits, predictions, tokens.labels, answers.seconds, answers.batches.count),
        predictions=predictions,
        logits=logits,
        batches=answers.batches,
    )


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
    # Not scikit-learn's, which takes two seconds to import.
    found, called, there = (int(each.sum()) for each in (labels & predictions, predictions, labels))
    log_likelihood = scipy.special.log_softmax(logits, 1)[np.arange(len(labels)), labels]
    correct = int((predictions == labels).sum())
    return Accuracy(
        accuracy=correct / len(labels),
        precision=found / max(1, called),
        recall=found / max(1, there),
        f1=2 * found / max(1, called + there),
        loss=float(-log_likelihood.mean()),
        correct=correct,
        size=len(labels),
        seconds=seconds,
        batches=batches,
    )
