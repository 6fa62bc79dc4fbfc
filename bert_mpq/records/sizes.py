"""How large a model is before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bert_mpq.records.outline import LinearShape, Outline, Unit
from bert_mpq.settings.embeddings import EMBEDDINGS, TABLE_GROUP, EmbeddingPrecision
from bert_mpq.settings.quantizers import QuantizerName, quantizer_for


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """Bits of the model before and after, part by part.

    Args:
        linear_weights: weights in the Linear modules of the encoder layers.
        nominal_bits: those weights at their bit widths, without scales, as the paper counts.
        scale_bits: their scales and zero points.
        embedding_weights: entries of the embedding tables.
        embedding_bits: the embedding tables as they are kept, scales included.
        norm_bits: LayerNorms, and the biases of the encoder layers, FP32.
        head_bits: pooler, classification head and what else there is, FP32.
    """

    # Properties that JSON documents have beside the fields.
    DERIVED: ClassVar = (
        "original_bits",
        "quantized_bits",
        "nominal_ratio",
        "ratio",
        "bits_per_weight",
        "whole_original_bits",
        "whole_bits",
        "whole_ratio",
        "whole_ratio_fp16",
    )

    linear_weights: int
    nominal_bits: int
    scale_bits: int
    embedding_weights: int
    embedding_bits: int
    norm_bits: int
    head_bits: int

    @property
    def quantized_bits(self) -> int:
        """Encoder Linear weights with scales and zero points."""
        return self.nominal_bits + self.scale_bits

    @property
    def original_bits(self) -> int:
        """Encoder Linear weights at FP32."""
        return 32 * self.linear_weights

    @property
    def ratio(self) -> float:
        """Encoder Linear weights: FP32 over quantized, scales included."""
        return self.original_bits / self.quantized_bits

    @property
    def bits_per_weight(self) -> float:
        """Bits per encoder Linear weight, scales included."""
        return self.quantized_bits / self.linear_weights

    @property
    def nominal_ratio(self) -> float:
        """Encoder Linear weights: FP32 over nominal bits, scales left out, as the paper counts."""
        return self.original_bits / self.nominal_bits

    @property
    def whole_original_bits(self) -> int:
        """The whole model at FP32."""
        return self.original_bits + 32 * self.embedding_weights + self.norm_bits + self.head_bits

    @property
    def whole_bits(self) -> int:
        """The whole model after quantization."""
        return self.quantized_bits + self.embedding_bits + self.norm_bits + self.head_bits

    @property
    def whole_ratio(self) -> float:
        """Whole model: FP32 over quantized."""
        return self.whole_original_bits / self.whole_bits

    @property
    def embedding_share(self) -> float:
        """Embedding tables as a share of the quantized model."""
        return self.embedding_bits / self.whole_bits

    @property
    def wide_embeddings(self) -> bool:
        """Whether the tables take over a third of the quantized model, and 8 bits would make them smaller."""
        return self.embedding_share > 1 / 3 and self.bits_saved_by_int8 > 0

    @property
    def bits_saved_by_int8(self) -> int:
        """What 8-bit embeddings would save where ``TABLE_GROUP`` divides the features; 0 = nothing."""
        coded = 8 * self.embedding_weights + 16 * self.embedding_weights // TABLE_GROUP
        return max(0, self.embedding_bits - coded)

    @property
    def whole_ratio_fp16(self) -> float:
        """Whole model: all of it in FP16 over quantized; FP16 is what costs nothing."""
        return self.whole_ratio / 2


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
    scales = linear.outputs * groups_of(linear.inputs, chosen.group_size)
    return chosen.group_bits * (1 if chosen.facts.whole_weight else scales)


def packed_bits(linear: LinearShape, bits: int, quantizer: QuantizerName, group_size: int | None) -> int:
    """Return the bits of a weight when packed, scales and zero points included."""
    return linear.weights * bits + scale_bits(linear, bits, quantizer, group_size)


def unit_bits(unit: Unit, bits: int, quantizer: QuantizerName, group_size: int | None) -> int:
    """Return the bits of all weights of a unit when packed."""
    return sum(packed_bits(linear, bits, quantizer, group_size) for linear in unit.linears)


def table_bits(outline: Outline, embeddings: EmbeddingPrecision) -> int:
    """Return the bits of all embedding tables, scales included."""
    facts = EMBEDDINGS[embeddings]
    # Old files do not say it; the features of almost every model are a multiple of the group.
    scales = outline.embedding_scales or outline.embedding_weights // TABLE_GROUP
    return facts.bits * outline.embedding_weights + (16 * scales if facts.coded else 0)


def size_report(
    outline: Outline,
    bits: Mapping[str, int],
    quantizer: QuantizerName,
    group_size: int | None,
    embeddings: EmbeddingPrecision = "fp32",
) -> SizeReport:
    """Return the size of a model, part by part.

    Args:
        bits: bits of every encoder Linear, by its name in the model.
        quantizer: the algorithm below 16 bits.
        group_size: inputs per scale; None = a whole output channel.
    """
    return SizeReport(
        linear_weights=outline.linear_weights,
        nominal_bits=sum(linear.weights * bits[linear.name] for linear in outline.linears),
        scale_bits=sum(
            scale_bits(linear, bits[linear.name], quantizer, group_size) for linear in outline.linears
        ),
        embedding_weights=outline.embedding_weights,
        embedding_bits=table_bits(outline, embeddings),
        norm_bits=32 * outline.norm_weights,
        head_bits=32 * outline.head_weights,
    )
