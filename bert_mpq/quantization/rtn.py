"""Round to nearest, symmetric, one scale per output channel or per group of inputs."""

from torch import Tensor

from bert_mpq.quantization.grid import absmax_scale, clipped_scale, grouped, nearest
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import QuantizedWeight, finite


def quantize(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize on the grid that cuts nothing off (``grid.absmax_scale``); see ``weight.Quantize``."""
    weight = finite(weight)
    return nearest(weight, absmax_scale(grouped(weight, group_size), bits), bits)


def quantize_clipped(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize with the clip of every group searched (``grid.clipped_scale``); see ``weight.Quantize``.

    The grid of least squared error; with a Hessian, inputs count by their second moments.
    """
    weight = finite(weight)
    groups = grouped(weight, group_size)
    importance = None if hessian is None else hessian.importance.reshape(groups.shape[1:])
    return nearest(weight, clipped_scale(groups, bits, importance), bits)
