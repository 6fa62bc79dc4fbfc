"""How large a model is before and after."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """Bits of the model before and after, part by part.

    Args:
        linear_weights: weights in the Linear modules of the encoder layers.
        nominal_bits: those weights at their bit widths, without scales: the original tool's figure.
        scale_bits: their scales and zero points.
        embedding_weights: entries of the embedding tables.
        embedding_bits: the embedding tables as they are kept.
        norm_bits: LayerNorms, and the biases of the encoder layers, FP32.
        head_bits: pooler, classification head and what else there is, FP32.
    """

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
        """Encoder Linear weights: FP32 over nominal bits, scales left out, as the original tool counts."""
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
    def mostly_wide_embeddings(self) -> bool:
        """Whether embedding tables in FP32 are more than half of the quantized model."""
        wide = self.embedding_bits == 32 * self.embedding_weights
        return wide and self.embedding_bits > self.whole_bits / 2

    @property
    def whole_ratio_fp16(self) -> float:
        """Whole model: all of it in FP16 over quantized; FP16 is what costs nothing."""
        return self.whole_ratio / 2
