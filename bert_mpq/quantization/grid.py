"""The symmetric grid that every exportable quantizer shares: signed full-range codes and float16 scales."""

import torch
from torch import Tensor

from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.records.sizes import groups_of

# Scales tried by the clip search, as shares of the one that cuts nothing off.
SHARES = [share / 40 for share in range(50, 11, -1)]


def grouped(weight: Tensor, group_size: int | None) -> Tensor:
    """Return (out, in) as (out, groups, inputs per group)."""
    return weight.reshape(weight.shape[0], groups_of(weight.shape[1], group_size), -1)


def absmax_scale(groups: Tensor, bits: int) -> Tensor:
    """Return (out, groups) float16 scales absmax / (2^(bits-1) - 1/2), rounded up.

    The largest weight lies half a step beyond the last code, so that both ends of the full signed range are
    used and no weight moves by more than half a step. Scales are float16 before any code is chosen: a file
    with float16 scales holds exactly this weight.

    Args:
        groups: (out, groups, inputs per group).
        bits: 2 to 8.

    Raises:
        ValueError: a scale is beyond the range of float16.
    """
    # By a tensor: CUDA multiplies by the reciprocal of a number, and comes to other scales than a CPU.
    exact = groups.abs().amax(2) / torch.tensor(2 ** (bits - 1) - 0.5, device=groups.device)
    scale = exact.half()
    above = (scale.view(torch.int16) + 1).view(torch.float16)  # the next float16
    scale = torch.where(scale < exact, above, scale)  # rounded up, so that no weight is cut off
    if not torch.isfinite(scale).all():
        raise ValueError("it holds values beyond the range of float16 scales")
    # A group of zeros, or one below float16's range, keeps scale 1 and codes 0.
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def clipped_scale(groups: Tensor, bits: int, importance: Tensor | None = None) -> Tensor:
    """Return (out, groups) float16 scales of the least squared error; below zero where that is better.

    A smaller step is finer for the many small weights and cuts off the few large ones; with few bits that
    pays. There is one more code below zero than above: the sign of the scale chooses the tail that gets it.
    ``absmax_scale`` itself is among the candidates.

    Args:
        groups: (out, groups, inputs per group).
        bits: 2 to 8.
        importance: (groups, inputs per group) weights of the squared errors; None = all alike.

    Raises:
        ValueError: a scale is beyond the range of float16.
    """
    largest = absmax_scale(groups, bits)
    half = 2 ** (bits - 1)
    best = largest
    lowest = torch.full(largest.shape, torch.inf, device=groups.device)
    for share in SHARES:
        scale = (largest.float() * share).half()
        scale = torch.where((scale > 0) & torch.isfinite(scale), scale, largest)
        step = scale.float()[:, :, None]
        rounded = torch.round(groups / step)
        for signed, least in ((scale, -half), (-scale, 1 - half)):  # mirrored, the codes end one step higher
            error = rounded.clamp(least, least + 2 * half - 1).mul_(step).sub_(groups).square_()
            if importance is not None:
                error *= importance
            total = error.sum(2)
            better = total < lowest
            best, lowest = torch.where(better, signed, best), torch.where(better, total, lowest)
    return best


def encoded(groups: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the nearest codes, -2^(bits-1) .. 2^(bits-1) - 1, as floats shaped like ``groups``."""
    half = 2 ** (bits - 1)
    return torch.round(groups / scale.float()[:, :, None]).clamp_(-half, half - 1)


def nearest(weight: Tensor, scale: Tensor, bits: int) -> QuantizedWeight:
    """Return the codes nearest to a (out, in) weight on the grid of (out, groups) float16 scales."""
    codes = encoded(weight.reshape(*scale.shape, -1), scale, bits)
    return QuantizedWeight(codes=codes.reshape(weight.shape).to(torch.int16), scale=scale, bits=bits)
