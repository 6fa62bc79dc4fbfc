"""Phase 2's measurement: a classifier on labelled reviews."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq import distributed
from bert_mpq.reporting import Reporter
from bert_mpq.results import Accuracy
from bert_mpq.sources.batches import Batch, TokenizedReviews
from bert_mpq.sources.devices import Machine
from bert_mpq.sources.forward import BatchUse, run_batches


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
    tokens: TokenizedReviews,
    machine: Machine,
    batch_tokens: int,
    reporter: Reporter,
    title: str,
) -> Evaluation:
    """Classify every review once; several processes share the batches, and all of them get the result.

    Args:
        model: a classifier with two labels; it is moved to the device.
        tokens: the labelled reviews.
        machine: where to run.
        batch_tokens: tokens per forward pass, padding included.
        reporter: shows the progress.
        title: name of the stage.

    Raises:
        MpqError: E-MEMORY, E-DISTRIBUTED.
    """
    started = time.perf_counter()
    module = machine.place(Logits(model).eval())
    distributed.use_weights_of_first(module)

    def forward(batch: Batch) -> Tensor:
        with machine.arithmetic():
            answer: Tensor = module(machine.move(batch.input_ids), machine.move(batch.attention_mask))
            return answer

    own = distributed.share(tokens.plan(batch_tokens))
    results = []  # copied back once at the end: a GPU is not waited for after every batch
    batches = BatchUse(largest=0, budget=batch_tokens)
    for done in run_batches(tokens, batch_tokens, forward, machine, reporter, title, own):
        results.append((done.batch.indices, done.result))
        batches = batches.after(done)
    logits = _merged(results, len(tokens))
    predictions = logits.argmax(1)
    accuracy = figures(logits, predictions, tokens.labels, time.perf_counter() - started)
    return Evaluation(
        accuracy=accuracy, predictions=predictions, logits=logits, batches=batches.of_all_processes()
    )


def _merged(results: list[tuple[npt.NDArray[np.int64], Tensor]], reviews: int) -> npt.NDArray[np.float64]:
    """Return the (reviews, 2) logits of all processes: each adds zeros for the reviews of the others."""
    logits = torch.zeros(reviews, 2, dtype=torch.float64)
    if results:
        order = torch.from_numpy(np.concatenate([indices for indices, _ in results]))
        logits[order] = torch.cat([result.float() for _, result in results]).cpu().double()
    distributed.add(logits)
    return logits.numpy()


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
