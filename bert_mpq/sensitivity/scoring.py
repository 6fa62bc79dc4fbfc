"""Scores with intervals, and how far the metrics agree."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.sensitivity import MetricAgreement, Scores
from bert_mpq.sensitivity.estimates import Estimate, estimate, kl_estimate
from bert_mpq.sensitivity.measure import Measurement
from bert_mpq.sensitivity.predicted import PredictedDamage
from bert_mpq.settings.metrics import Metric
from bert_mpq.similarity.jackknife import LEVEL

CERTAIN = 0.5 + LEVEL / 2  # confidence in an order, one side of a two-sided test


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What Phase 1 says of the layers.

    Args:
        agreement: of every two metrics, and of each with the KL of the logits.
    """

    scores: tuple[Scores, ...]
    agreement: tuple[MetricAgreement, ...]


def score(
    measurement: Measurement | None,
    metrics: tuple[Metric, ...],
    reporter: Reporter,
    rows: str = "reviews",
    predicted: PredictedDamage | None = None,
) -> Scoring:
    """Turn what the passes gave into scores with intervals, at the first width.

    Args:
        measurement: of that width; None where nothing but the prediction was asked for.
        rows: what was compared: reviews, or tokens.
        predicted: the predicted damage, where it was asked for.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    made: dict[str, Estimate] = {}
    if measurement is not None:
        entries = estimate(measurement.sums, metrics, reporter, rows=rows)
        made = {entry.scores.metric: entry for entry in entries}
        if measurement.kl:
            made["kl"] = kl_estimate(measurement.sums)
    if predicted is not None and "predicted" in metrics:
        made["predicted"] = predicted.estimate("layer", 0)
    ordered = [made[metric] for metric in dict.fromkeys([*metrics, *made])]
    return Scoring(
        scores=tuple(_with_intervals(entry) for entry in ordered if entry.scores.metric in metrics),
        agreement=agreement(ordered),
    )


def agreement(estimates: Sequence[Estimate]) -> tuple[MetricAgreement, ...]:
    """Return rank correlation and disagreement of every two of ``estimates``."""
    return tuple(
        MetricAgreement(
            first=a.scores.metric,
            second=b.scores.metric,
            spearman=spearman(a.scores.values, b.scores.values),
            flagged=_flagged(a, b),
        )
        for a, b in combinations(estimates, 2)
    )


def _with_intervals(entry: Estimate) -> Scores:
    scores, jackknife = entry.scores, entry.jackknife
    return replace(
        scores,
        layers=tuple(
            replace(layer, interval=jackknife.interval(index)) for index, layer in enumerate(scores.layers)
        ),
        rank_confidence=tuple(jackknife.confidence(a, b) for a, b in pairwise(scores.ranking)),
    )


def _flagged(first: Estimate, second: Estimate) -> tuple[int, ...]:
    """Return layers whose removal leaves no contradiction: each time those with the most of them."""
    left = [
        (i, j)
        for i, j in combinations(range(len(first.scores.layers)), 2)
        if _order(first, i, j) * _order(second, i, j) == -1
    ]
    flagged: list[int] = []
    while left:
        counts = Counter(layer for pair in left for layer in pair)
        flagged += [layer for layer, count in counts.items() if count == max(counts.values())]
        left = [pair for pair in left if not set(pair) & set(flagged)]
    return tuple(sorted(flagged))


def _order(entry: Estimate, i: int, j: int) -> int:
    """Return 1 when layer i is above j with confidence, -1 when below, 0 when it cannot be told."""
    confidence = entry.jackknife.confidence(i, j)
    if confidence is None:
        return 0
    return int(confidence > CERTAIN) - int(confidence < 1 - CERTAIN)


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the rank correlation; None where a value is missing or one side is constant."""
    if len(set(first)) < 2 or len(set(second)) < 2 or not np.isfinite([*first, *second]).all():
        return None
    from scipy.stats import spearmanr  # takes a second to import

    return float(spearmanr(first, second).statistic)
