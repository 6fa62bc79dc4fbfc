"""The shape of a classifier: all that its size depends on, without its weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from bert_mpq.settings.config import Granularity
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class LinearShape:
    """A Linear module of an encoder layer.

    Args:
        name: its name in the model.
        layer: index of its encoder layer.
        outputs: rows of its weight.
        inputs: columns of its weight.
    """

    name: str
    layer: int
    outputs: int
    inputs: int

    @property
    def weights(self) -> int:
        """Entries of its weight."""
        return self.outputs * self.inputs


@dataclass(frozen=True, kw_only=True)
class Outline:
    """How many parameters a classifier has, and where.

    Args:
        linears: the Linear modules of the encoder layers, first layer first.
        embedding_weights: entries of the embedding tables.
        norm_weights: LayerNorms, and the biases of the encoder layers.
        head_weights: pooler, classification head and what else there is.
    """

    linears: tuple[LinearShape, ...]
    embedding_weights: int
    norm_weights: int
    head_weights: int

    @property
    def layers(self) -> int:
        """Encoder layers."""
        return 1 + max(linear.layer for linear in self.linears)

    @property
    def linear_weights(self) -> int:
        """Weights in the Linear modules of the encoder layers."""
        return sum(linear.weights for linear in self.linears)

    def units(self, granularity: Granularity = "layer") -> tuple[tuple[LinearShape, ...], ...]:
        """Return the Linears that share a width: those of an encoder layer, or each one alone."""
        if granularity == "linear":
            return tuple((linear,) for linear in self.linears)
        return tuple(
            tuple(linear for linear in self.linears if linear.layer == layer) for layer in range(self.layers)
        )

    def bits_by_name(self, bits: Sequence[int], granularity: Granularity = "layer") -> dict[str, int]:
        """Return bits per unit as bits of every Linear, by its name in the model.

        Raises:
            MpqError: E-LAYERS when there are more or fewer than the model has units.
        """
        units = self.units(granularity)
        if len(bits) != len(units):
            raise MpqError(
                "E-LAYERS", f"The allocation has {len(bits)} {granularity}s, the model has {len(units)}."
            )
        return {linear.name: width for unit, width in zip(units, bits, strict=True) for linear in unit}
