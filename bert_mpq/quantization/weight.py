"""A quantized weight: integer codes and scales, from which the fake-quantized weight is computed."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class QuantizedWeight:
    """Integer codes of a (out, in) weight.

    Args:
        codes: (out, in) int16; signed without a zero point, else 0 .. 2^bits - 1.
        scale: (out, groups) for scales per channel or group, (1, 1) per tensor; groups run along the input.
        bits: bits per code.
        zero_point: integer offset of the codes, shaped like ``scale``; None when symmetric.
    """

    codes: Tensor
    scale: Tensor
    bits: int
    zero_point: Tensor | None = None

    def dequantize(self) -> Tensor:
        """Return the (out, in) float32 weight that these codes stand for."""
        rows = self.codes.shape[0] if self.scale.shape[0] > 1 else 1
        codes = self.codes.float().reshape(rows, self.scale.shape[1], -1)
        if self.zero_point is not None:
            codes = codes - self.zero_point[:, :, None]
        return (codes * self.scale.float()[:, :, None]).reshape(self.codes.shape)

    @property
    def storage_bits(self) -> int:
        """Bits of codes, scales and zero points when packed."""
        scales = self.scale.numel() * self.scale.element_size() * 8
        zeros = 0 if self.zero_point is None else self.zero_point.numel() * self.bits
        return self.codes.numel() * self.bits + scales + zeros


def groups_of(in_features: int, group_size: int | None) -> int:
    """Return how many groups a row of weights has: one where the size does not divide it."""
    if group_size is None or in_features % group_size:
        return 1
    return in_features // group_size


def finite(weight: Tensor) -> Tensor:
    """Return ``weight`` in float32.

    Raises:
        ValueError: it holds NaN or infinity.
    """
    weight = weight.detach().float()
    if not torch.isfinite(weight).all():
        raise ValueError("it holds NaN or infinite values")
    return weight
