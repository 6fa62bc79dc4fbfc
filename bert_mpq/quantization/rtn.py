"""Round to nearest, symmetric, one scale per output channel or per group of inputs."""

import torch
from torch import Tensor

from bert_mpq.quantization.grid import absmax_scale, encoded, grouped
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import QuantizedWeight, finite


def quantize(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize on the grid that cuts nothing off (``grid.absmax_scale``); see ``weight.Quantize``."""
    weight = finite(weight)
    groups = grouped(weight, group_size)
    scale = absmax_scale(groups, bits)
    codes = encoded(groups, scale, bits)
    return QuantizedWeight(codes=codes.reshape(weight.shape).to(torch.int16), scale=scale, bits=bits)
