"""A quantized weight: integer codes and scales, from which the fake-quantized weight is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bert_mpq.quantization.hessian import Hessian

CODES, SCALE = "codes/", "scale/"  # in a checkpoint


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

    def cpu(self) -> "QuantizedWeight":
        """Return the same in host memory."""
        zero_point = None if self.zero_point is None else self.zero_point.cpu()
        return QuantizedWeight(
            codes=self.codes.cpu(), scale=self.scale.cpu(), bits=self.bits, zero_point=zero_point
        )


def as_tensors(weights: Mapping[str, QuantizedWeight]) -> dict[str, Tensor]:
    """Return signed codes (int8) and scales for a checkpoint; ``from_tensors`` reads them."""
    codes = {CODES + name: weight.codes.to(torch.int8) for name, weight in weights.items()}
    return codes | {SCALE + name: weight.scale for name, weight in weights.items()}


def from_tensors(tensors: Mapping[str, Tensor], bits: Mapping[str, int]) -> dict[str, QuantizedWeight]:
    """Return the weights whose bits are given by name; raises KeyError when one is missing."""
    return {
        name: QuantizedWeight(
            codes=tensors[CODES + name].to(torch.int16), scale=tensors[SCALE + name], bits=width
        )
        for name, width in bits.items()
    }


class Quantize(Protocol):
    """The one signature of all quantizers."""

    def __call__(
        self, weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
    ) -> QuantizedWeight:
        """Quantize a weight.

        Args:
            weight: (out, in).
            bits: 2 to 8.
            group_size: inputs per scale; None, or a size that does not divide ``in`` = the whole channel.
            hessian: second moments of the Linear's calibration inputs; only GPTQ looks at them.

        Raises:
            ValueError: NaN or infinity, values too large for a float16 scale, or no Hessian for GPTQ.
        """
        ...


def best_rows(candidates: Sequence[QuantizedWeight], weight: Tensor, hessian: Hessian) -> QuantizedWeight:
    """Return, row by row, the candidate with the least output error; the first of equal ones."""
    errors = torch.stack([hessian.error(entry.dequantize() - weight) for entry in candidates])
    best, rows = errors.argmin(0), torch.arange(len(weight), device=weight.device)
    return QuantizedWeight(
        codes=torch.stack([entry.codes for entry in candidates])[best, rows],
        scale=torch.stack([entry.scale for entry in candidates])[best, rows],
        bits=candidates[0].bits,
    )


def finite(weight: Tensor) -> Tensor:
    """Return ``weight`` in float32; raises ValueError where it holds NaN or infinity."""
    weight = weight.detach().float()
    if not torch.isfinite(weight).all():
        raise ValueError("it holds NaN or infinite values")
    return weight
