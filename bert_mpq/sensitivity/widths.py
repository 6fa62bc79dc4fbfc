"""Scores at every probed width."""

import math

from bert_mpq.config import Metric
from bert_mpq.sensitivity.measuring import Measurement
from bert_mpq.sensitivity.scoring import METRICS
from bert_mpq.width_scores import MetricTable


def width_tables(measurement: Measurement, metrics: tuple[Metric, ...]) -> tuple[MetricTable, ...]:
    """Return each metric, and the KL of the logits where the scope has it, over layers and widths.

    Raises:
        ValueError: the FP32 model gave NaN or infinity.
    """
    by_width = [measurement.of_width(index) for index in range(measurement.widths)]
    columns: dict[Metric, list[tuple[float, ...]]] = {}
    for entry in by_width:
        if entry.kl:
            columns.setdefault("kl", []).append(tuple(max(value, 0.0) for value in entry.kl))
        probes = range(len(entry.sums.blocks[0]))
        covariances = [entry.sums.total(probe).covariances() for probe in probes]
        for metric in metrics:
            if metric == "kl":
                continue
            similarities = [METRICS[metric](covariance) for covariance in covariances]
            values = tuple(s.distance if s.usable else math.nan for s in similarities)
            columns.setdefault(metric, []).append(values)
    return tuple(
        MetricTable(metric=metric, values=tuple(zip(*widths, strict=True)))
        for metric, widths in columns.items()
    )
