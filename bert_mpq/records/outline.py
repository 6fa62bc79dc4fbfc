"""The shape of a classifier: all that its size depends on, without its weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.errors import MpqError

# The last word of a projection whose input others of its module share: BERT, DistilBERT, MPNet, DeBERTa, ...
QUERY_KEY_VALUE = re.compile(r"(?:q|k|v|query|key|value)((?:_\w+)?)")


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

    @property
    def title(self) -> str:
        """What people call it: ``layer_3.`` and its path inside the layer."""
        parts = self.name.split(".")
        inside = parts[parts.index(str(self.layer)) + 1 :] if str(self.layer) in parts else parts
        return ".".join([f"layer_{self.layer}", *inside])

    @property
    def tie(self) -> tuple[str, str]:
        """What the query, key and value of one attention have in common; of others what no other has."""
        module, _, last = self.name.rpartition(".")
        found = QUERY_KEY_VALUE.fullmatch(last)
        return (module, found[1]) if found else (self.name, "alone")


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Linears that share a width: those of an encoder layer, tied ones, or one alone.

    Args:
        name: ``layer_3``, ``layer_3.attention.self.query+key+value`` or ``layer_3.output.dense``.
        linears: in the order of the model, all of one layer.
    """

    name: str
    linears: tuple[LinearShape, ...]

    @property
    def layer(self) -> int:
        """Index of the encoder layer."""
        return self.linears[0].layer


@dataclass(frozen=True, kw_only=True)
class Outline:
    """How many parameters a classifier has, and where.

    Args:
        linears: the Linear modules of the encoder layers, first layer first.
        embedding_weights: entries of the embedding tables.
        embedding_scales: groups of features in all their rows, each of which has a scale when they are codes;
            0 in old files.
        norm_weights: LayerNorms, and the biases of the encoder layers.
        head_weights: pooler, classification head and what else there is.
    """

    linears: tuple[LinearShape, ...]
    embedding_weights: int
    norm_weights: int
    head_weights: int
    embedding_scales: int = field(default=0, compare=False)

    @property
    def layers(self) -> int:
        """Encoder layers."""
        return 1 + max(linear.layer for linear in self.linears)

    @property
    def linear_weights(self) -> int:
        """Weights in the Linear modules of the encoder layers."""
        return sum(linear.weights for linear in self.linears)

    def units(self, granularity: Granularity = "layer", tie: bool = True) -> tuple[Unit, ...]:
        """Return the Linears that share a width: those of a layer, or each one alone.

        Args:
            tie: whether query, key and value of an attention are one unit all the same: programs that run
                such files fuse them.
        """
        groups: dict[object, list[LinearShape]] = {}
        for linear in self.linears:
            alone = linear.tie if tie else linear.name
            groups.setdefault(linear.layer if granularity == "layer" else alone, []).append(linear)
        return tuple(
            Unit(
                name=f"layer_{each[0].layer}" if granularity == "layer" else _joined(each),
                linears=tuple(each),
            )
            for each in groups.values()
        )

    def bits_by_name(
        self, bits: Sequence[int], granularity: Granularity = "layer", tie: bool = True
    ) -> dict[str, int]:
        """Return bits per unit as bits of every Linear, by its name in the model.

        Raises:
            MpqError: E-LAYERS when there are more or fewer than the model has units.
        """
        units = self.units(granularity, tie)
        if len(bits) != len(units):
            raise MpqError(
                "E-LAYERS", f"The allocation has {len(bits)} {granularity}s, the model has {len(units)}."
            )
        return {
            linear.name: width for unit, width in zip(units, bits, strict=True) for linear in unit.linears
        }


def _joined(linears: Sequence[LinearShape]) -> str:
    return "+".join([linears[0].title, *(linear.name.rpartition(".")[2] for linear in linears[1:])])
