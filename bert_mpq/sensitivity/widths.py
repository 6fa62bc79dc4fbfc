"""Scores at every probed width."""

import math

from bert_mpq.config import Metric
from bert_mpq.reporting import Reporter
from bert_mpq.sensitivity.estimates import estimate
from bert_mpq.sensitivity.measuring import Measurement
from bert_mpq.width_scores import MetricTable


def width_tables(
    measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter
) -> tuple[MetricTable, ...]:
    """Return each metric, and the KL of the logits where the scope has it, over layers and widths.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    by_width = [measurement.of_width(index) for index in range(measurement.widths)]
    columns: dict[Metric, list[tuple[float, ...]]] = {}
    for entry in by_width:
        if entry.kl:
            columns.setdefault("kl", []).append(tuple(max(value, 0.0) for value in entry.kl))
        for made in estimate(entry.sums, metrics, reporter, replicates=False):
            values = tuple(s.distance if s.usable else math.nan for s in made.similarities)
            columns.setdefault(made.metric, []).append(values)
    return tuple(
        MetricTable(metric=metric, values=tuple(zip(*widths, strict=True)))
        for metric, widths in columns.items()
    )
