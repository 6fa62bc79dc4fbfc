"""The model that is trained: a quantized model whose weights and steps can move again."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        quantized: the model after post-training quantization; it is not changed.
        weights: its codes and scales by name of the Linear: these are trained.
        originals: the FP32 weights by the same names.
        layers: names of the encoder layers; biases and LayerNorms beside a trained weight are trained too.
    """

    def __init__(
        self,
        quantized: nn.Module,
        weights: Mapping[str, QuantizedWeight],
        originals: Mapping[str, Tensor],
        layers: tuple[str, ...],
    ) -> None:
        self.model = copy.deepcopy(quantized).eval()  # no dropout: the teacher has none either
        self.names = tuple(weights)
        for name, weight in weights.items():
            latent = weight.dequantize() if weight.bits <= FEW_BITS else originals[name]
            linear = self.model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            learn_step(linear, weight, latent)
        touched = tuple(
            f"{layer}." for layer in layers if any(name.startswith(f"{layer}.") for name in self.names)
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
