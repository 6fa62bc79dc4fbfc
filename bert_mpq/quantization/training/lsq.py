"""Learned step size quantization (Esser et al. 2020): the forward pass quantizes, the backward pass trains.

A ``LearnedStep`` is the parametrization of a Linear weight: the module keeps a latent float weight and one
step per group of inputs, and computes with codes * step. Both are trained; freezing gives codes and float16
scales, and exactly the weight that the last forward pass used.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from bert_mpq.quantization.grid import nearest
from bert_mpq.quantization.weight import QuantizedWeight

SMALLEST_STEP = 2.0**-24  # the smallest float16 above zero


class _Quantize(torch.autograd.Function):
    """codes * step with the gradients of Esser et al. 2020, eq. 3 and 5.

    The step is rounded to float16 first, straight through: what is trained is what a file with float16 scales
    holds.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, lowest: int, highest: int) -> Tensor:
        """Return (out, groups, size) for that weight and a (out, groups, 1) step."""
        step = _float16(step)
        ctx.save_for_backward(weight, step)
        ctx.bounds = lowest, highest
        return torch.round(weight / step).clamp_(lowest, highest).mul_(step)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Weights beyond the grid get no gradient; steps q - v inside and q beyond it, times 1/sqrt(N Qp)."""
        weight, step = ctx.saved_tensors
        lowest, highest = ctx.bounds
        ratio = weight / step
        clipped = ratio.clamp(lowest, highest)
        inside = clipped == ratio
        slope = torch.where(inside, torch.round(ratio) - ratio, clipped)
        scale = 1 / math.sqrt(weight.shape[-1] * highest)
        return gradient * inside, (gradient * slope).sum(-1, keepdim=True).mul_(scale), None, None


class LearnedStep(nn.Module):
    """Parametrization of a (out, in) weight whose groups of inputs share a trained step.

    Args:
        start: gives the bits, the first steps, (out, groups), and their signs, which stay.

    Raises:
        ValueError: ``start`` has a zero point; steps are learned for symmetric grids only.
    """

    sign: Tensor

    def __init__(self, start: QuantizedWeight) -> None:
        super().__init__()
        if start.zero_point is not None:
            raise ValueError("steps are learned for symmetric grids only")
        self.bits = start.bits
        scale = start.scale.detach().float()
        self.step = nn.Parameter(scale.abs())
        self.register_buffer("sign", scale.sign())

    def forward(self, weight: Tensor) -> Tensor:
        """Return the fake-quantized (out, in) weight of a latent one."""
        half = 2 ** (self.bits - 1)
        sign = self.sign[:, :, None]
        grouped = weight.reshape(*self.step.shape, -1) * sign
        quantized: Tensor = _Quantize.apply(  # type: ignore[no-untyped-call]
            grouped, self.step[:, :, None], -half, half - 1
        )
        return (quantized * sign).reshape(weight.shape)

    @torch.no_grad()
    def freeze(self, weight: Tensor) -> QuantizedWeight:
        """Return codes and float16 scales; their ``dequantize`` equals ``forward`` bit by bit."""
        return nearest(weight, (_float16(self.step) * self.sign).half(), self.bits)


def _float16(step: Tensor) -> Tensor:
    return step.clamp_min(SMALLEST_STEP).half().to(step.dtype)


def learn_step(linear: nn.Module, start: QuantizedWeight, latent: Tensor) -> None:
    """Let a Linear compute with learned steps, in place.

    Args:
        linear: its weight becomes ``parametrizations.weight.original`` (the latent weight, (out, in)) with
            ``parametrizations.weight.0.step`` (out, groups).
        start: bits and first steps.
        latent: (out, in) first latent weight.

    Raises:
        ValueError: ``start`` has a zero point.
    """
    weight = linear.get_parameter("weight")
    parametrization = LearnedStep(start).to(weight.device)  # codes and scales are in host memory
    with torch.no_grad():
        weight.copy_(latent)
    parametrize.register_parametrization(linear, "weight", parametrization)


def frozen(linear: nn.Module) -> QuantizedWeight:
    """Return the codes and scales that a Linear with a learned step computes with now."""
    weights: Any = linear.parametrizations["weight"]  # type: ignore[index]
    quantized: QuantizedWeight = weights[0].freeze(weights.original)
    return quantized
