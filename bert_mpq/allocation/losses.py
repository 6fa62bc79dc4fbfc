"""The loss of every unit at every width, and the options that follow from it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from bert_mpq.allocation.knapsack import Assignment, Options, WidthOption, repaired

FLOAT16, FLOAT32 = 16, 32
Losses = tuple[Mapping[int, float], ...]  # of each unit: bits -> loss, at every width that it may get
Cost = Callable[[int, int], int]  # (unit, bits) -> packed bits


def losses_of(widths: Sequence[int], values: Sequence[Sequence[float]]) -> Losses:
    """Return the loss of each unit at the probed widths, 16 and 32 bits.

    It is monotone: no width has a lower loss than a larger one. FP32 loses nothing; float16 moves a weight by
    2^-11 of itself at most and, unless it was probed, counts as no loss either.

    Args:
        widths: the probed widths, in any order.
        values: (units, widths), as measured.

    Raises:
        ValueError: a value is NaN or infinite, or the shape is not units x widths.
    """
    order = sorted(range(len(widths)), key=widths.__getitem__)
    losses = []
    for row in values:
        if len(row) != len(widths):
            raise ValueError("every unit needs one loss per width")
        probed = zip([widths[k] for k in order], repaired([row[k] for k in order]), strict=True)
        losses.append({FLOAT16: 0.0, **dict(probed), FLOAT32: 0.0})
    return tuple(losses)


def options_of(
    losses: Losses, cost: Cost, pins: Mapping[int, int], protected: Collection[int] = ()
) -> tuple[Options, ...]:
    """Return the options of each unit: every probed width and 16 bits; 32 only where it is pinned.

    Args:
        cost: packed bits of a unit at a width.
        pins: the one width of a unit, one that was probed, 16 or 32; goes before ``protected``.
        protected: units that get 16 bits at least.
    """
    units = []
    for unit, known in enumerate(losses):
        floor = FLOAT16 if unit in protected else 0
        offered = [b for b in sorted(known) if floor <= b <= FLOAT16]
        chosen = [pins[unit]] if unit in pins else offered
        units.append(tuple(WidthOption(bits=b, cost=cost(unit, b), loss=known[b]) for b in chosen))
    return tuple(units)


def assignment_of(
    losses: Losses, cost: Cost, bits: Sequence[int], pins: Mapping[int, int]
) -> Assignment | None:
    """Return given bits as an assignment, pinned units at their pins; None when a width was not probed."""
    final = [pins.get(unit, given) for unit, given in enumerate(bits)]
    if any(b not in known for b, known in zip(final, losses, strict=True)):
        return None
    return Assignment(
        options=tuple(
            WidthOption(bits=b, cost=cost(unit, b), loss=losses[unit][b]) for unit, b in enumerate(final)
        )
    )
