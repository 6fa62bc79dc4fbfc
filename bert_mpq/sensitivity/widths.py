"""Scores of every probe, and at every probed width, without intervals."""

import math

from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.width_scores import MetricTable
from bert_mpq.sensitivity.estimates import estimate
from bert_mpq.sensitivity.measure import Measurement
from bert_mpq.sensitivity.predicted import PredictedDamage
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.metrics import Metric


def metric_values(
    measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter
) -> dict[Metric, tuple[float, ...]]:
    """Return 1 - similarity of every probe by each similarity metric; NaN where there is no valid score.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    return {
        made.scores.metric: tuple(s.value if s.usable else math.nan for s in made.scores.layers)
        for made in estimate(measurement.sums, metrics, reporter, replicates=False)
    }


def output_errors(measurement: Measurement) -> tuple[float, ...]:
    """Return the squared error of every probe's output relative to its variance, means removed.

    Raises:
        ValueError: the FP32 model gave NaN or infinity.
    """
    sums = measurement.sums
    covariances = [sums.total(probe).covariances() for probe in range(len(sums.blocks[0]))]
    return tuple(float(c.ee.trace() / c.xx.trace()) for c in covariances)


def predicted_tables(
    predicted: PredictedDamage, granularity: Granularity = "layer"
) -> tuple[MetricTable, ...]:
    """Return the predicted KL over units and widths."""
    values = predicted.losses(granularity).tolist()
    return (MetricTable(metric="predicted", values=tuple(map(tuple, values))),)


def width_tables(
    measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter
) -> tuple[MetricTable, ...]:
    """Return each metric, and the KL of the logits where the scope has it, over layers and widths.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    columns: dict[Metric, list[tuple[float, ...]]] = {}
    for index in range(measurement.widths):
        entry = measurement.of_width(index)
        if entry.kl:
            columns.setdefault("kl", []).append(tuple(max(value, 0.0) for value in entry.kl))
        for metric, values in metric_values(entry, metrics, reporter).items():
            columns.setdefault(metric, []).append(values)
    return tuple(
        MetricTable(metric=metric, values=tuple(zip(*widths, strict=True)))
        for metric, widths in columns.items()
    )
