"""The rows of the benchmark table that a sweep measures."""

from dataclasses import dataclass

from bert_mpq.settings.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A row of the guide's table.

    Args:
        metrics: the metrics the guide names; each has a row of its own.
        bits: bits per group, most sensitive group first.
    """

    name: str
    metrics: tuple[Metric, ...]
    bits: tuple[int, ...]


PRESETS = (
    Preset(name="Conservative", metrics=("pwcca",), bits=(16, 8, 4)),
    Preset(name="Moderate", metrics=("pwcca", "cka"), bits=(16, 8, 4, 2)),
    Preset(name="Aggressive", metrics=("svcca",), bits=(8, 4, 2, 2)),
)
