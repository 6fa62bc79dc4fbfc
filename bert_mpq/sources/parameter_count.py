"""How many parameters a checkpoint holds, from the header of its file: nothing is loaded."""

import math
from pathlib import Path

from safetensors import SafetensorError, safe_open


def parameter_count(path: Path | None) -> int | None:
    """Return the number of floating-point parameters in a safetensors file; None when that cannot be read."""
    if path is None:
        return None
    try:
        with safe_open(path, framework="np") as file:
            tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    floating = [tensor for tensor in tensors if tensor.get_dtype().startswith(("F", "BF"))]
    return sum(int(math.prod(tensor.get_shape())) for tensor in floating)
