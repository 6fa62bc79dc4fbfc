"""A bit allocation applied to a model: every weight is quantized once, not at every forward pass."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bert_mpq.config import QuantizerName
from bert_mpq.encoder import encoder_layers, linears
from bert_mpq.errors import MpqError
from bert_mpq.quantization import per_tensor, rtn
from bert_mpq.quantization.weight import QuantizedWeight, finite
from bert_mpq.results import SizeReport

Quantize = Callable[[Tensor, int, int | None], QuantizedWeight]
QUANTIZERS: dict[str, Quantize] = {"rtn": rtn.quantize, "per-tensor": per_tensor.quantize}


@dataclass(frozen=True, kw_only=True)
class QuantizedModel:
    """A model with fake-quantized encoder weights, and its size.

    Args:
        model: a copy of the FP32 model.
        sizes: bits before and after.
    """

    model: nn.Module
    sizes: SizeReport


@torch.no_grad()
def quantize_layer(layer: nn.Module, bits: int, quantizer: QuantizerName, group_size: int | None) -> int:
    """Replace every Linear weight of ``layer``, in place, by its fake-quantized value.

    Args:
        layer: an encoder layer.
        bits: 32 leaves it untouched, 16 rounds to float16, fewer go through the quantizer.
        quantizer: the algorithm.
        group_size: inputs per scale; None = the whole channel.

    Returns:
        Bits that the Linear weights take when packed, scales and zero points included.

    Raises:
        MpqError: E-MODEL when a weight holds NaN or infinity.
    """
    total = 0
    for name, linear in linears(layer):
        weight = linear.weight
        try:
            if bits >= 16:
                replacement, size = finite(weight), bits * weight.numel()
                replacement = finite(replacement.half()) if bits == 16 else replacement
            else:
                quantized = QUANTIZERS[quantizer](weight, bits, group_size)
                replacement, size = quantized.dequantize(), quantized.storage_bits
        except ValueError as error:
            raise MpqError(
                "E-MODEL", f"The weight of {name}: {error}.", "The checkpoint is broken."
            ) from error
        weight.copy_(replacement)
        total += size
    return total


def quantized_copy(
    model: nn.Module, bits: Sequence[int], quantizer: QuantizerName, group_size: int | None
) -> QuantizedModel:
    """Return a copy of ``model`` whose encoder layer i is quantized to ``bits[i]``.

    Embeddings, pooler and classification head stay FP32.

    Raises:
        MpqError: E-LAYERS when the numbers of layers differ; E-MODEL.
    """
    quantized = copy.deepcopy(model)
    layers = encoder_layers(quantized)
    if len(layers) != len(bits):
        raise MpqError("E-LAYERS", f"The allocation has {len(bits)} layers, the model has {len(layers)}.")
    packed = [quantize_layer(layer, b, quantizer, group_size) for layer, b in zip(layers, bits, strict=True)]
    weights = [sum(linear.weight.numel() for _, linear in linears(layer)) for layer in layers]
    embeddings = {
        parameter
        for module in quantized.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    embedding_bits = 32 * sum(parameter.numel() for parameter in embeddings)
    every = 32 * sum(parameter.numel() for parameter in quantized.parameters())
    sizes = SizeReport(
        linear_weights=sum(weights),
        nominal_bits=sum(count * b for count, b in zip(weights, bits, strict=True)),
        quantized_bits=sum(packed),
        embedding_bits=embedding_bits,
        other_bits=every - embedding_bits - 32 * sum(weights),
    )
    return QuantizedModel(model=quantized, sizes=sizes)
