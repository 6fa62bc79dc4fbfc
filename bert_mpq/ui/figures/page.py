"""The results of a folder as one HTML page that needs nothing else: no network and no other file."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.records.files import write_atomic
from bert_mpq.records.template import render
from bert_mpq.settings.paths import user_path
from bert_mpq.ui.figures.plots import Material

TEMPLATE = Path(__file__).with_name("page.html.jinja")


def html_page(path: Path | str, material: Material) -> Path:
    """Write ``material`` as one page; raises MpqError E-READONLY or E-DISK."""
    page = render(
        TEMPLATE,
        analysis=material.sensitivity,
        groups=material.comparison.groups,
        scale=scale,
    )
    # What a file may hold by accident: control characters are not HTML.
    return write_atomic(user_path(path), re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", page))


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
