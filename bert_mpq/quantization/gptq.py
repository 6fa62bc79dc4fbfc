"""GPTQ (Frantar et al. 2022): round column by column; the columns still to come make up for the error."""

import torch
from torch import Tensor

from bert_mpq.compute.cuda_graphs import launched_as_one
from bert_mpq.quantization import rtn
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.refit import refit
from bert_mpq.quantization.weight import QuantizedWeight, best_rows, finite

BLOCK = 128
REFIT_BITS = 3  # at 4 bits a refit takes as long as the walk, and lowers the KL by less than 5 %


def quantize(
    weight: Tensor, bits: int, group_size: int | None, hessian: Hessian | None = None
) -> QuantizedWeight:
    """Quantize with the output error dw H dw^T in view; see ``weight.Quantize``.

    Scales come from the FP32 weight, before any column has moved (static groups): act-order then needs
    no other order of columns in the file. The greedy walk can lose to plain rounding on single rows, so every
    row keeps the best of GPTQ, ``rtn`` and ``rtn-mse`` by its own error: no row is ever worse than rounded.
    """
    if hessian is None:
        raise ValueError("GPTQ needs calibration inputs")
    weight = finite(weight)
    clipped = rtn.quantize_clipped(weight, bits, group_size, hessian)
    per_weight = clipped.scale.float().repeat_interleave(weight.shape[1] // clipped.scale.shape[1], dim=1)
    codes = _walk(weight, per_weight, bits, hessian).to(torch.int16)
    walked = QuantizedWeight(codes=codes, scale=clipped.scale, bits=bits)
    best = best_rows([walked, clipped, rtn.quantize(weight, bits, group_size)], weight, hessian)
    return refit(best, weight, hessian) if bits <= REFIT_BITS else best


def _walk(weight: Tensor, scale: Tensor, bits: int, hessian: Hessian) -> Tensor:
    """Return the (out, in) codes as floats, all rows at once, in blocks of columns.

    Args:
        weight: (out, in) float32.
        scale: (out, in) scale of every weight.
        bits: 2 to 8.
    """
    order, upper = hessian.factor
    # Transposed, so that a column of the weight lies together in memory.
    rest = weight.T[order].contiguous()
    steps = scale.T[order].contiguous()
    codes = torch.empty_like(rest)
    for start in range(0, len(rest), BLOCK):
        end = min(start + BLOCK, len(rest))
        found, errors = launched_as_one(
            _walk_block, rest[start:end], steps[start:end], upper[start:end, start:end], bits=bits
        )
        codes[start:end] = found
        rest[end:].addmm_(upper[start:end, end:].T, errors, alpha=-1.0)
    restored = torch.empty_like(codes)
    restored[order] = codes
    return restored.T.contiguous()


def _walk_block(rest: Tensor, steps: Tensor, factor: Tensor, *, bits: int) -> tuple[Tensor, Tensor]:
    """Return the (columns, out) codes of a block of columns, and their errors over the factor's diagonal.

    Args:
        rest: (columns, out) what is left of the weight.
        steps: (columns, out) scale of every weight.
        factor: (columns, columns) of the upper Cholesky factor.
        bits: 2 to 8.
    """
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    rest, diagonal = rest.clone(), factor.diagonal()
    codes, errors = torch.empty_like(rest), torch.empty_like(rest)
    for column in range(len(rest)):
        code = torch.round(rest[column] / steps[column]).clamp_(low, high)
        error = (rest[column] - code * steps[column]) / diagonal[column]
        rest[column + 1 :].addr_(factor[column, column + 1 :], error, alpha=-1.0)
        codes[column], errors[column] = code, error
    return codes, errors
