"""The loss of every layer at every width, and the options that follow from it."""

from collections.abc import Callable, Mapping, Sequence

from bert_mpq.allocation.knapsack import Assignment, Unit, WidthOption, repaired
from bert_mpq.settings.errors import MpqError

FLOAT16, FLOAT32 = 16, 32
Losses = tuple[Mapping[int, float], ...]  # of each layer: bits -> loss, at every width that it may get
Cost = Callable[[int, int], int]  # (layer, bits) -> packed bits


def losses_of(widths: Sequence[int], values: Sequence[Sequence[float]]) -> Losses:
    """Return the loss of each layer at the probed widths, 16 and 32 bits.

    It is monotone: no width has a lower loss than a larger one. FP32 loses nothing; float16 moves a weight by
    2^-11 of itself at most and, unless it was probed, counts as no loss either.

    Args:
        widths: the probed widths, in any order.
        values: (layers, widths), as measured.

    Raises:
        ValueError: a value is NaN or infinite, or the shape is not layers x widths.
    """
    order = sorted(range(len(widths)), key=widths.__getitem__)
    losses = []
    for row in values:
        if len(row) != len(widths):
            raise ValueError("every layer needs one loss per width")
        probed = zip([widths[k] for k in order], repaired([row[k] for k in order]), strict=True)
        losses.append({FLOAT16: 0.0, **dict(probed), FLOAT32: 0.0})
    return tuple(losses)


def layer_units(
    losses: Losses, cost: Cost, pins: Mapping[int, int], protect_last: int = 0
) -> tuple[Unit, ...]:
    """Return the options of each layer: every probed width and 16 bits; 32 only where it is pinned.

    Args:
        cost: packed bits of a layer at a width.
        pins: the one width of a layer; goes before ``protect_last``.
        protect_last: this many last layers get 16 bits at least.

    Raises:
        MpqError: E-BUDGET when a pin names a layer that the model has not, or a width that was not probed.
    """
    for layer, bits in pins.items():
        if layer >= len(losses):
            raise MpqError(
                "E-BUDGET",
                f"layer_{layer} is pinned, but the last layer is layer_{len(losses) - 1}.",
                "Check --pin.",
            )
        if bits not in losses[layer]:
            probed = ", ".join(str(b) for b in sorted(losses[layer]) if b < FLOAT16)
            raise MpqError(
                "E-BUDGET",
                f"layer_{layer} is pinned to {bits} bits, but only {probed} were probed.",
                f"Pin one of these, 16 or 32, or probe {bits} too (--probe-bits).",
            )
    units = []
    for layer, known in enumerate(losses):
        floor = FLOAT16 if layer >= len(losses) - protect_last else 0
        offered = [b for b in sorted(known) if floor <= b <= FLOAT16]
        chosen = [pins[layer]] if layer in pins else offered
        units.append(tuple(WidthOption(bits=b, cost=cost(layer, b), loss=known[b]) for b in chosen))
    return tuple(units)


def assignment_of(
    losses: Losses, cost: Cost, bits: Sequence[int], pins: Mapping[int, int]
) -> Assignment | None:
    """Return given bits as an assignment, pinned layers at their pins; None when a width was not probed."""
    final = [pins.get(layer, given) for layer, given in enumerate(bits)]
    if any(b not in known for b, known in zip(final, losses, strict=True)):
        return None
    return Assignment(
        options=tuple(
            WidthOption(bits=b, cost=cost(layer, b), loss=losses[layer][b]) for layer, b in enumerate(final)
        )
    )
