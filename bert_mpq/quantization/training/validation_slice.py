"""Frozen models measured on the validation slice: reviews that are never trained on."""

import torch
from torch import nn

from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.training.student import Frozen, apply
from bert_mpq.records.training import CurvePoint


class Validation:
    """The validation slice and the FP32 model's answers to it.

    Args:
        teacher: the FP32 classifier.
        model: a plain copy of the quantized classifier; each measurement overwrites its weights.
        work: the slice, and where to run; one device is used.
    """

    def __init__(self, teacher: nn.Module, model: nn.Module, work: Workload) -> None:
        self._model = model
        self._work = work.on_one_device()
        self._wanted = self._evaluate(teacher)

    def measure(self, frozen: Frozen, step: int, loss: float | None) -> CurvePoint:
        """Return how near a frozen model comes to the FP32 model.

        Args:
            frozen: the model's trained part.
            step: for the curve.
            loss: for the curve.
        """
        apply(frozen, self._model)
        given = self._evaluate(self._model)
        logits = [torch.from_numpy(each.logits) for each in (self._wanted, given)]
        return CurvePoint(
            step=step,
            loss=loss,
            kl=float(kl_of_logits(*logits).mean()),
            agreement=float((given.predictions == self._wanted.predictions).mean()),
            accuracy=given.accuracy.accuracy,
        )

    def _evaluate(self, model: nn.Module) -> Evaluation:
        return evaluate(model, self._work, Silent(), "")
