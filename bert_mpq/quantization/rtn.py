"""Round to nearest, symmetric, one scale per output channel or per group of inputs."""

import torch
from torch import Tensor

from bert_mpq.quantization.weight import QuantizedWeight, finite, groups_of


def quantize(weight: Tensor, bits: int, group_size: int | None) -> QuantizedWeight:
    """Quantize with codes -2^(bits-1) .. 2^(bits-1) - 1 and scale absmax / (2^(bits-1) - 1/2).

    The scale maps the largest weight half a step beyond the last code, so that both ends of the full signed
    range are used and no weight moves by more than half a step. Scales are rounded to float16 before the
    codes are chosen: a file with float16 scales holds exactly this weight.

    Args:
        weight: (out, in).
        bits: 2 to 8.
        group_size: inputs per scale; None, or a size that does not divide ``in`` = the whole channel.

    Raises:
        ValueError: the weight holds NaN or infinity, or values too large for a float16 scale.
    """
    weight = finite(weight)
    grouped = weight.reshape(weight.shape[0], groups_of(weight.shape[1], group_size), -1)
    half = 2 ** (bits - 1)
    exact = grouped.abs().amax(2) / (half - 0.5)
    scale = exact.half()
    above = (scale.view(torch.int16) + 1).view(torch.float16)  # the next float16
    scale = torch.where(scale < exact, above, scale)  # rounded up, so that no weight is cut off
    if not torch.isfinite(scale).all():
        raise ValueError("it holds values beyond the range of float16 scales")
    # A group of zeros, or one below float16's range, keeps scale 1 and codes 0.
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    codes = torch.round(grouped / scale.float()[:, :, None]).clamp(-half, half - 1)
    return QuantizedWeight(codes=codes.reshape(weight.shape).to(torch.int16), scale=scale, bits=bits)
