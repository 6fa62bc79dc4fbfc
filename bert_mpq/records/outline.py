"""The shape of a classifier: all that its size depends on, without its weights."""

from dataclasses import dataclass


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

    def bits_by_name(self, bits: tuple[int, ...]) -> dict[str, int]:
        """Return bits per encoder layer as bits per Linear."""
        return {linear.name: bits[linear.layer] for linear in self.linears}
