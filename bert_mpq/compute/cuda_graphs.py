"""Loops of many small operations: on a GPU they are captured once and launched as one (CUDA graphs)."""

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

Loop = Callable[..., tuple[Tensor, ...]]


def launched_as_one(loop: Loop, *inputs: Tensor, **constants: int) -> tuple[Tensor, ...]:
    """Return ``loop(*inputs, **constants)``.

    On a CUDA device the first call with some shapes and constants captures the loop; from then on a call
    takes the time of the arithmetic, not that of launching every operation. Captured loops keep their memory
    until the process ends. They are for one thread, outside autocast and inference mode, and for matrix
    products in the precision of the first call: quantizers work in FP32, whatever that of the passes is.

    The capture is ``torch.cuda.make_graphed_callables``.

    Args:
        loop: a module-level function without branches on values; it leaves its inputs as they are.
        inputs: tensors of any shape, on one device, without gradients.
        constants: what else the loop is called with; other constants are another capture.

    Raises:
        torch.OutOfMemoryError: the GPU has no room for the inputs and what the loop computes.
    """
    if inputs[0].device.type != "cuda":
        return loop(*inputs, **constants)
    shapes = tuple((tuple(each.shape), each.dtype) for each in inputs)
    captured = _captured(loop, shapes, inputs[0].device, tuple(constants.items()))
    return tuple(each.clone() for each in captured(*inputs))  # the next call overwrites what it returns


@functools.lru_cache(maxsize=64)
def _captured(
    loop: Loop,
    shapes: tuple[tuple[tuple[int, ...], torch.dtype], ...],
    device: torch.device,
    constants: tuple[tuple[str, int], ...],
) -> Loop:
    examples = tuple(torch.ones(shape, dtype=dtype, device=device) for shape, dtype in shapes)
    with torch.cuda.device(device):
        made: Any = torch.cuda.make_graphed_callables(functools.partial(loop, **dict(constants)), examples)
    return cast(Loop, made)
