"""Round to nearest on the clipped grid of least squared error: the best without calibration inputs."""

import torch
from torch import Tensor

from bert_mpq.quantization.grid import clipped_scale, encoded, grouped
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import QuantizedWeight, finite


def quantize(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize with the clip of every group searched (``grid.clipped_scale``); see ``weight.Quantize``."""
    weight = finite(weight)
    groups = grouped(weight, group_size)
    scale = clipped_scale(groups, bits)
    codes = encoded(groups, scale, bits)
    return QuantizedWeight(codes=codes.reshape(weight.shape).to(torch.int16), scale=scale, bits=bits)
