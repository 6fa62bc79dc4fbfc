"""A digest that tells whether two models hold the same weights."""

import hashlib
from collections.abc import Mapping

from torch import Tensor


def weights_fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, shapes and float32 bytes of a state dict, sorted by name.

    Two models with the same fingerprint hold the same numbers, however they are stored.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
