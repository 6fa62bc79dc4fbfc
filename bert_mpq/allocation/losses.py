"""The loss of every layer at every width, and the options that follow from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bert_mpq.allocation.knapsack import Assignment, Option, Unit, repaired
from bert_mpq.settings.errors import MpqError

FLOAT16, FLOAT32 = 16, 32


@dataclass(frozen=True, kw_only=True)
class WidthLosses:
    """Loss of each layer at each probed width, as measured.

    Args:
        score: what the loss is: ``kl`` or a similarity metric.
        widths: the probed widths, fewest bits first.
        values: (layers, widths).

    Raises:
        ValueError: a value is NaN or infinite, or the shape is not layers x widths.
    """

    score: str
    widths: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if list(self.widths) != sorted(set(self.widths)):
            raise ValueError("widths must rise")
        if any(len(row) != len(self.widths) for row in self.values):
            raise ValueError("every layer needs one loss per width")
        for row in self.values:
            repaired(row)

    def of(self, layer: int, bits: int) -> float | None:
        """Return the loss of a layer at a width, monotone: no width has a lower loss than a larger one.

        FP32 loses nothing; float16 moves a weight by 2^-11 of itself at most and, unless it was probed,
        counts as no loss either. None = the width was not probed.
        """
        if bits == FLOAT32 or (bits == FLOAT16 and FLOAT16 not in self.widths):
            return 0.0
        if bits not in self.widths:
            return None
        return repaired(self.values[layer])[self.widths.index(bits)]

    def total(self, bits: Sequence[int]) -> float | None:
        """Return the summed loss of an allocation; None when it uses a width that was not probed."""
        losses = [self.of(layer, b) for layer, b in enumerate(bits)]
        known = [loss for loss in losses if loss is not None]
        return sum(known) if len(known) == len(losses) else None


Cost = Callable[[int, int], int]  # (layer, bits) -> packed bits


def layer_units(
    losses: WidthLosses, cost: Cost, pins: Mapping[int, int], protect_last: int = 0
) -> tuple[Unit, ...]:
    """Return the options of each layer: every probed width and 16 bits; 32 only where it is pinned.

    Args:
        losses: loss per layer and width.
        cost: packed bits of a layer at a width.
        pins: the one width of a layer; goes before ``protect_last``.
        protect_last: this many last layers get 16 bits at least.

    Raises:
        MpqError: E-BUDGET when a pin names a layer that the model has not, or a width that was not probed.
    """
    layers = len(losses.values)
    for layer, bits in pins.items():
        if layer >= layers:
            raise MpqError(
                "E-BUDGET",
                f"layer_{layer} is pinned, but the last layer is layer_{layers - 1}.",
                "Check --pin.",
            )
        if losses.of(layer, bits) is None:
            probed = ", ".join(map(str, losses.widths))
            raise MpqError(
                "E-BUDGET",
                f"layer_{layer} is pinned to {bits} bits, but only {probed} were probed.",
                f"Pin one of these, 16 or 32, or probe {bits} too (--probe-bits).",
            )
    units = []
    for layer in range(layers):
        floor = FLOAT16 if layer >= layers - protect_last else 0
        offered = [b for b in sorted({*losses.widths, FLOAT16}) if b >= floor]
        chosen = [pins[layer]] if layer in pins else offered
        units.append(
            tuple(
                Option(bits=b, cost=cost(layer, b), loss=loss)
                for b in chosen
                if (loss := losses.of(layer, b)) is not None
            )
        )
    return tuple(units)


def assignment_of(
    losses: WidthLosses, cost: Cost, bits: Sequence[int], pins: Mapping[int, int]
) -> Assignment | None:
    """Return given bits as an assignment, pinned layers at their pins; None when a width was not probed."""
    options = []
    for layer, given in enumerate(bits):
        b = pins.get(layer, given)
        loss = losses.of(layer, b)
        if loss is None:
            return None
        options.append(Option(bits=b, cost=cost(layer, b), loss=loss))
    return Assignment(options=tuple(options))
