"""The model that is trained: a quantized model whose weights and steps can move again."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bert_mpq.compute.encoder import encoder_layers, layer_path
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.lsq import frozen, learn_step
from bert_mpq.quantization.weight import QuantizedWeight

LATENT, STEP = ".parametrizations.weight.original", ".parametrizations.weight.0.step"
FEW_BITS = 3  # up to here training starts from the quantized weight, above from the FP32 one


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """What a training yields.

    Args:
        weights: codes and float16 scales by name of the Linear.
        others: float32 biases and LayerNorm parameters of the quantized layers, by parameter name.
    """

    weights: dict[str, QuantizedWeight]
    others: dict[str, Tensor]


class Student:
    """A copy of a quantized model, ready to be trained.

    Args:
        teacher: the FP32 classifier.
        quantized: the same after post-training quantization, which is not changed. Its weights below 16 bits
            are trained, and the biases and LayerNorms of the encoder layers that hold one.
    """

    def __init__(self, teacher: nn.Module, quantized: QuantizedModel) -> None:
        self.model = copy.deepcopy(quantized.model).eval()  # no dropout: the teacher has none either
        self.names = tuple(quantized.weights)
        path = layer_path(self.model)
        layers = [f"{path}.{name}." for name, _ in encoder_layers(self.model).named_children()]
        touched = tuple(layer for layer in layers if any(name.startswith(layer) for name in self.names))
        for name, weight in quantized.weights.items():
            original = teacher.get_parameter(f"{name}.weight").detach()
            learn_step(
                self.model.get_submodule(name),
                weight,
                weight.dequantize() if weight.bits <= FEW_BITS else original,
            )
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith(touched))

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """Every trained parameter by name, in a fixed order."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    def freeze(self) -> Frozen:
        """Return what the model computes with now, on the CPU."""
        weights = {name: frozen(self.model.get_submodule(name)) for name in self.names}
        return Frozen(
            weights={name: weight.cpu() for name, weight in weights.items()},
            others={
                name: value.detach().cpu().clone()
                for name, value in self.trained.items()
                if not name.endswith((LATENT, STEP))
            },
        )


@torch.no_grad()
def apply(trained: Frozen, model: nn.Module) -> None:
    """Give a plain copy of the model, in place, the weights that were trained: codes * scale exactly."""
    for name, weight in trained.weights.items():
        model.get_parameter(f"{name}.weight").copy_(weight.dequantize())
    for name, value in trained.others.items():
        model.get_parameter(name).copy_(value)
