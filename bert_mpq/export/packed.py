"""A model as a file stores it: integer codes where a weight is quantized, plain tensors for the rest.

Codes of 2 to 8 bits are a stream of bytes, row by row: value i of a row takes bits i * b to (i + 1) * b - 1
of its stream, low bits first, and every row begins with a new byte. Read as little-endian int32 words, it is
the layout of compressed-tensors' ``pack_to_int32``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq.quantization.embeddings import tables_of
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.settings.embeddings import EmbeddingPrecision

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """Everything that a checkpoint holds of a model.

    Args:
        weights: quantized weights by module name (``m`` stands for the parameter ``m.weight``).
        tensors: every other tensor of the state dict by its name, in the type it is stored in.
    """

    weights: Mapping[str, QuantizedWeight]
    tensors: Mapping[str, Tensor]

    def state(self) -> dict[str, Tensor]:
        """Return the state dict that this stands for; floating-point tensors are float32."""
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in self.tensors.items()
        }
        return state | {f"{name}.weight": weight.dequantize() for name, weight in self.weights.items()}

    @property
    def buffer_bits(self) -> int:
        """Bits of the tensors that are no floating-point numbers."""
        return 8 * sum(tensor.nbytes for tensor in self.tensors.values() if not tensor.is_floating_point())


def stream_of(weight: QuantizedWeight) -> Bytes:
    """Return the codes of a weight, counted from 0, as the streams of ``pack``."""
    lowest = 0 if weight.zero_point is not None else -(2 ** (weight.bits - 1))
    return pack((weight.codes - lowest).to(torch.uint8).numpy(), weight.bits)


def pack_model(
    model: nn.Module,
    weights: Mapping[str, QuantizedWeight],
    bits: Mapping[str, int],
    embeddings: EmbeddingPrecision,
) -> PackedModel:
    """Take a model apart; what a run rounds to float16 is stored as float16.

    Args:
        weights: the codes that stand for weights of it, those of embedding tables included, by module name.
        bits: of every encoder Linear, by its name in the model; 16 = rounded to float16.
    """
    coded = {f"{name}.weight" for name in weights}
    halves = {f"{name}.weight" for name, width in bits.items() if width == 16}
    if embeddings == "fp16":
        halves |= {f"{name}.weight" for name in tables_of(model)}
    tensors = {
        name: (tensor.half() if name in halves else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in coded
    }
    return PackedModel(weights={name: weight.cpu() for name, weight in weights.items()}, tensors=tensors)


def narrowed(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float16; raises ValueError for a value beyond its range."""
    half = tensor.half()
    if not torch.isfinite(half).all():
        raise ValueError("it holds values beyond float16")
    return half


def row_bytes(columns: int, bits: int) -> int:
    """Return the bytes that a row of ``columns`` codes takes."""
    return (columns * bits + 7) // 8


def pack(codes: Bytes, bits: int) -> Bytes:
    """Return the streams of a matrix of codes.

    Args:
        codes: (rows, columns), each 0 .. 2^bits - 1.
        bits: 1 to 8.

    Returns:
        (rows, row_bytes(columns, bits)); unused bits at the end of a row are 0.

    Raises:
        ValueError: a code needs more bits.
    """
    if codes.size and int(codes.max()) >> bits:
        raise ValueError(f"a code of {int(codes.max())} needs more than {bits} bits")
    if bits == 8:
        return codes
    rows, columns = codes.shape
    single = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(single.reshape(rows, columns * bits), axis=1, bitorder="little")


def unpack(stream: Bytes, bits: int, columns: int) -> Bytes:
    """Return the (rows, columns) codes of streams that ``pack`` made.

    Args:
        stream: (rows, row_bytes(columns, bits)).
        bits: 1 to 8.

    Raises:
        ValueError: the streams are too short or too long for that many codes.
    """
    rows, length = stream.shape
    needed = row_bytes(columns, bits)
    if length != needed:
        raise ValueError(f"{length} bytes a row, {columns} codes of {bits} bits take {needed}")
    if bits == 8:
        return stream
    single = np.unpackbits(stream, axis=1, count=columns * bits, bitorder="little")
    return np.packbits(single.reshape(rows, columns, bits), axis=2, bitorder="little").reshape(rows, columns)
