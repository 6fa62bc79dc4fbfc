"""Writes a packed model as a folder that transformers (or ``bert_mpq.load``) reads."""

from torch import Tensor

from bert_mpq.export.packed import PackedModel, narrowed
from bert_mpq.settings.errors import MpqError


def dense(packed: PackedModel) -> dict[str, Tensor]:
    """Return every floating-point tensor in float16; the others as they are.

    Raises:
        MpqError: E-MODEL when a value is beyond float16.
    """
    tensors = {}
    for name, tensor in packed.state().items():
        try:
            tensors[name] = (narrowed(tensor) if tensor.is_floating_point() else tensor).contiguous()
        except ValueError as error:
            raise MpqError("E-MODEL", f"{name}: {error}.", "Use --format mpq.") from error
    return tensors
