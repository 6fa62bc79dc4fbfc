"""How many bits a quantized model takes: one rule for plans, reports and files.

It needs shapes only, so that a plan is sized before a model is loaded; that the quantizers really give so
many codes and scales is held by tests.
"""

from collections.abc import Mapping

from bert_mpq.config import EmbeddingPrecision
from bert_mpq.outline import LinearShape, Outline
from bert_mpq.quantizer import QuantizerName, quantizer_for
from bert_mpq.results import SizeReport

EMBEDDING_BITS: dict[EmbeddingPrecision, int] = {"fp32": 32, "fp16": 16}
SCALE_BITS = 16
TENSOR_SCALE_BITS = 32  # one float32 scale for a whole weight


def groups_of(in_features: int, group_size: int | None) -> int:
    """Return how many groups a row of weights has: one where the size does not divide it."""
    if group_size is None or in_features % group_size:
        return 1
    return in_features // group_size


def scale_bits(linear: LinearShape, bits: int, quantizer: QuantizerName, group_size: int | None) -> int:
    """Return the bits of a weight's scales, and of its zero point where it has one."""
    if bits >= 16:
        return 0
    chosen = quantizer_for(quantizer, bits, group_size)
    if chosen.algorithm == "per-tensor":
        return TENSOR_SCALE_BITS + bits
    return SCALE_BITS * linear.outputs * groups_of(linear.inputs, chosen.group_size)


def packed_bits(linear: LinearShape, bits: int, quantizer: QuantizerName, group_size: int | None) -> int:
    """Return the bits of a weight when packed, scales and zero points included."""
    return linear.weights * bits + scale_bits(linear, bits, quantizer, group_size)


def layer_bits(
    outline: Outline, layer: int, bits: int, quantizer: QuantizerName, group_size: int | None
) -> int:
    """Return the bits of all weights of an encoder layer when packed."""
    return sum(
        packed_bits(linear, bits, quantizer, group_size)
        for linear in outline.linears
        if linear.layer == layer
    )


def size_report(
    outline: Outline,
    bits: Mapping[str, int],
    quantizer: QuantizerName,
    group_size: int | None,
    embeddings: EmbeddingPrecision = "fp32",
) -> SizeReport:
    """Return the size of a model, part by part.

    Args:
        outline: the model.
        bits: bits of every encoder Linear, by its name in the model.
        quantizer: the algorithm below 16 bits.
        group_size: inputs per scale; None = a whole output channel.
        embeddings: precision of the embedding tables.
    """
    return SizeReport(
        linear_weights=outline.linear_weights,
        nominal_bits=sum(linear.weights * bits[linear.name] for linear in outline.linears),
        scale_bits=sum(
            scale_bits(linear, bits[linear.name], quantizer, group_size) for linear in outline.linears
        ),
        embedding_weights=outline.embedding_weights,
        embedding_bits=EMBEDDING_BITS[embeddings] * outline.embedding_weights,
        norm_bits=32 * outline.norm_weights,
        head_bits=32 * outline.head_weights,
    )
