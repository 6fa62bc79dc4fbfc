"""Where a value stands on an axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear axis.

    Args:
        low: the value at ``start``.
        high: the value at ``end``.
        start: place of the lowest value, in pixels.
        end: place of the highest value, in pixels; may be less than ``start``.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)

    @property
    def ticks(self) -> list[float]:
        """Round values within the axis, two to six of them."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(each for each in (1, 2, 5, 10) if each * power >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(count * step, 12) for count in range(first, last + 1)]


def scale(values: Iterable[float], start: float, end: float, margin: float = 0.1) -> Scale:
    """Return an axis for all finite ``values``, with ``margin`` of their span at both ends."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    span = (high - low) or abs(high) or 1.0
    return Scale(low=low - margin * span, high=high + margin * span, start=start, end=end)
