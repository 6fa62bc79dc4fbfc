"""The quantizer of the script this tool replaces: asymmetric min-max with one scale for the whole weight.

For comparison only: one outlier stretches the grid for all, and at 4 bits accuracy falls to chance.
"""

import torch
from torch import Tensor

from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import QuantizedWeight, finite


def quantize(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize with codes 0 .. 2^bits - 1, scale (max - min) / (2^bits - 1) and an integer zero point.

    The grid includes zero (Jacob et al. 2018, eq. 1); ``group_size`` is ignored. See ``weight.Quantize``.
    """
    weight = finite(weight)
    low, high = weight.min().clamp(max=0.0), weight.max().clamp(min=0.0)
    last = 2**bits - 1
    scale = (high - low) / torch.tensor(last, device=weight.device)  # as in ``grid.absmax_scale``
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero_point = torch.round(-low / scale).clamp(0, last)
    codes = torch.round(weight / scale + zero_point).clamp(0, last)
    return QuantizedWeight(
        codes=codes.to(torch.int16),
        scale=scale.reshape(1, 1),
        zero_point=zero_point.to(torch.int16).reshape(1, 1),
        bits=bits,
    )
