"""How many parameters a checkpoint holds, from the head of its file: nothing is loaded."""

import json
import math
from pathlib import Path

LONGEST_HEAD = 100_000_000  # bytes, the limit of the safetensors format


def parameter_count(path: Path | None) -> int | None:
    """Return the number of floating-point parameters in a safetensors file; None when that cannot be read.

    Layout: 8 bytes length of the head, little endian; the head, JSON with the shape of every tensor.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEAD:
                return None
            head = json.loads(file.read(length))
        tensors = [value for name, value in head.items() if name != "__metadata__"]
        return sum(
            int(math.prod(tensor["shape"])) for tensor in tensors if tensor["dtype"].startswith(("F", "BF"))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
