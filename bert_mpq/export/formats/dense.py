"""Every weight in float16, as any program reads it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bert_mpq.export.formats.format import Safetensors
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.errors import ModelError

if TYPE_CHECKING:
    from bert_mpq.export.packed import PackedModel


class DenseFloat16(Safetensors):
    """A plain checkpoint: floating-point tensors in float16, the others as they are."""

    name = "dense-fp16"
    title = "all weights in float16; loads anywhere, rounds a little"
    tolerance = None
    rounding = "rounded to float16"
    memory = "The model needs as much memory as before, and is not faster on a CPU."
    caveats = (
        "Every weight is rounded to float16 once more: close to what was evaluated, not the same.",
        "config.json asks for float32, so that it runs on every CPU; pass `dtype=torch.float16` for half the"
        " memory on a GPU.",
    )

    def content(self, packed: "PackedModel", facts: Mapping[str, Any]) -> bytes:
        """Return a safetensors file without the facts.

        Raises:
            MpqError: E-MODEL when a value is beyond float16.
        """
        from safetensors.torch import save

        from bert_mpq.export.packed import narrowed

        tensors = {}
        for name, tensor in packed.state().items():
            try:
                tensors[name] = (narrowed(tensor) if tensor.is_floating_point() else tensor).contiguous()
            except ValueError as error:
                raise ModelError(f"{name}: {error}.", "Use --format mpq.") from error
        return bytes(save(tensors, metadata={"format": "pt"}))

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return half the bytes of the FP32 model, and those of its integer tensors."""
        return (sizes.whole_original_bits // 2 + packed.buffer_bits) // 8
