"""Frozen models measured on the validation slice: reviews that are never trained on."""

import dataclasses

import torch
from torch import nn

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.training.student import Frozen, apply
from bert_mpq.records.training import CurvePoint


class Validation:
    """The validation slice and the FP32 model's answers to it.

    Args:
        teacher: the FP32 classifier.
        model: a plain copy of the quantized classifier; each measurement overwrites its weights.
        tokens: the slice.
        machine: where to run; one device of it is used.
        batch_tokens: tokens per forward pass, padding included.
    """

    def __init__(
        self,
        teacher: nn.Module,
        model: nn.Module,
        tokens: TokenizedReviews,
        machine: Machine,
        batch_tokens: int,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._machine = dataclasses.replace(machine, num_gpus=min(1, machine.num_gpus))
        self._batch_tokens = batch_tokens
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
        return evaluate(model, self._tokens, self._machine, self._batch_tokens, Silent(), "")
