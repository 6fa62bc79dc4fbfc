"""The loss: what the quantized model should do is what the FP32 model does; labels are not used."""

from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.divergence import kl_of_logits


def distillation_loss(
    teacher: nn.Module, student: nn.Module, batch: Batch, machine: Machine, hidden_weight: float
) -> Tensor:
    """Return KL(teacher || student) of the logits + ``hidden_weight`` * relative error of the hidden states.

    The relative error of an encoder layer's output is |student - teacher|^2 / |teacher|^2 over the real
    tokens of a review, and its mean over the layers is taken (Jiao et al. 2020, TinyBERT, eq. 8, made free
    of scale). Both are sums over the reviews of the batch: what parts of a batch give may be added.
    """
    inputs = batch.inputs(machine)
    with machine.arithmetic(gradients=True):
        with torch.no_grad():
            wanted = teacher(**inputs, output_hidden_states=True)
        given = student(**inputs, output_hidden_states=True)
    divergence = kl_of_logits(wanted.logits, given.logits).sum().float().to(machine.device)
    return divergence + hidden_weight * _hidden_error(wanted, given, inputs["attention_mask"])


def _hidden_error(wanted: Any, given: Any, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].float()
    layers = list(zip(wanted.hidden_states[1:], given.hidden_states[1:], strict=True))  # 0 = embeddings
    total = torch.zeros((), device=mask.device)
    for target, answer in layers:
        target = target.float()
        error = ((answer.float() - target).square() * weights).sum((1, 2))
        total = total + (error / (target.square() * weights).sum((1, 2))).sum()
    return total / len(layers)
