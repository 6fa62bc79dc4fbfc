"""Better scales and codes for a weight that has been rounded: coordinate descent on its output error.

Scales are moved with the codes frozen, then codes with the scales frozen, in turns. A scale goes to the
float16 number nearest to its optimum, a code to the nearest whole number: neither can raise the error.
"""

import torch
from torch import Tensor

from bert_mpq.compute.cuda_graphs import launched_as_one
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import QuantizedWeight, best_rows

SWEEPS = 3  # of the scales; between them, of the codes
BLOCK = 128


def refit(start: QuantizedWeight, weight: Tensor, hessian: Hessian) -> QuantizedWeight:
    """Return the quantized weight with less output error dw H dw^T; no row's is higher than before.

    Args:
        start: symmetric codes, scales of groups or channels.
        weight: (out, in) float32 weight that it stands for.
        hessian: of the inputs.
    """
    matrix, codes, scale = hessian.damped.float(), start.codes.float(), start.scale.float()
    for sweep in range(2 * SWEEPS - 1):
        steps = scale.repeat_interleave(codes.shape[1] // scale.shape[1], dim=1)
        slope = (weight - codes * steps) @ matrix  # computed anew: what rounding does to it does not add up
        if sweep % 2:
            codes = _moved_codes(codes, steps, slope, matrix, start.bits)
        else:
            (scale,) = launched_as_one(_moved_scales, codes, scale, slope, matrix)
    moved = QuantizedWeight(codes=codes.to(torch.int16), scale=scale.half(), bits=start.bits)
    return best_rows([start, moved], weight, hessian)


def _moved_scales(codes: Tensor, scale: Tensor, slope: Tensor, matrix: Tensor) -> tuple[Tensor]:
    """Return (out, groups) scales, each at its optimum given those before it; all rows at once.

    Args:
        codes: (out, in).
        scale: (out, groups).
        slope: (out, in) (w - codes * scale) H.
        matrix: (in, in) H.
    """
    scale, slope, size = scale.clone(), slope.clone(), codes.shape[1] // scale.shape[1]
    for group in range(scale.shape[1]):
        columns = slice(group * size, (group + 1) * size)
        own = codes[:, columns]
        push = own @ matrix[columns]  # what one unit of the scale adds to codes * scale * H
        optimum = scale[:, group] + (own * slope[:, columns]).sum(1) / (own * push[:, columns]).sum(1)
        nearest = optimum.half().float()
        nearest = torch.where(nearest.isfinite() & (nearest != 0), nearest, scale[:, group])
        slope -= (nearest - scale[:, group])[:, None] * push
        scale[:, group] = nearest
    return (scale,)


def _moved_codes(codes: Tensor, steps: Tensor, slope: Tensor, matrix: Tensor, bits: int) -> Tensor:
    """Return (out, in) codes, each at its optimum given those before it; all rows at once.

    Args:
        codes: (out, in).
        steps: (out, in) scale of every code.
        slope: (out, in) (w - codes * scale) H.
        matrix: (in, in) H.
        bits: 2 to 8.
    """
    # Transposed, so that a column of the weight lies together in memory.
    rest, wide = slope.T.contiguous(), steps.T.contiguous()
    whole = codes.T.contiguous()
    for start in range(0, len(rest), BLOCK):
        block = slice(start, min(start + BLOCK, len(rest)))
        whole[block], moves = launched_as_one(
            _move_block, whole[block], wide[block], rest[block], matrix[block, block], bits=bits
        )
        rest.addmm_(matrix[:, block], moves, alpha=-1.0)
    return whole.T.contiguous()


def _move_block(
    codes: Tensor, steps: Tensor, slope: Tensor, matrix: Tensor, *, bits: int
) -> tuple[Tensor, Tensor]:
    """Return the (columns, out) codes of a block of columns, and how far their values moved.

    Args:
        codes: (columns, out).
        steps: (columns, out) scale of every code.
        slope: (columns, out) (w - codes * scale) H.
        matrix: (columns, columns) of H.
        bits: 2 to 8.
    """
    half = 2 ** (bits - 1)
    codes, slope, diagonal = codes.clone(), slope.clone(), matrix.diagonal()
    moves = torch.empty_like(slope)
    for column in range(len(codes)):
        # It is zero only where no input was ever other than zero: the codes stay.
        wish = codes[column] + slope[column] / (diagonal[column] * steps[column])
        code = torch.where(diagonal[column] > 0, torch.round(wish).clamp_(-half, half - 1), codes[column])
        moves[column] = (code - codes[column]) * steps[column]
        slope.addr_(matrix[column], moves[column], alpha=-1.0)
        codes[column] = code
    return codes, moves
