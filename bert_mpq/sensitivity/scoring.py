"""Scores with intervals, and how far the metrics agree."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import scipy.stats

from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.sensitivity import LayerScore, MetricAgreement, Scores
from bert_mpq.sensitivity.estimates import Estimate, estimate, kl_estimate
from bert_mpq.sensitivity.measure import Measurement
from bert_mpq.settings.metrics import Metric
from bert_mpq.similarity.jackknife import LEVEL

CERTAIN = 0.5 + LEVEL / 2  # confidence in an order, one side of a two-sided test


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What Phase 1 says of the layers.

    Args:
        scores: one entry per metric, in the order asked.
        agreement: of every two metrics, and of each with the KL of the logits.
    """

    scores: tuple[Scores, ...]
    agreement: tuple[MetricAgreement, ...]


def score(
    measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter, rows: str = "reviews"
) -> Scoring:
    """Turn moments into scores with intervals; ``rows`` names what was compared (reviews, tokens).

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    made = {entry.metric: entry for entry in estimate(measurement.sums, metrics, reporter)}
    if measurement.kl:
        made["kl"] = kl_estimate(measurement.sums)
    ordered = [made[metric] for metric in dict.fromkeys([*metrics, *made])]
    return Scoring(
        scores=tuple(_scores(entry, rows) for entry in ordered if entry.metric in metrics),
        agreement=agreement(ordered),
    )


def agreement(estimates: Sequence[Estimate]) -> tuple[MetricAgreement, ...]:
    """Return rank correlation and disagreement of every two of ``estimates``."""
    return tuple(
        MetricAgreement(
            first=a.metric,
            second=b.metric,
            spearman=_spearman(a.values, b.values),
            flagged=_flagged(a, b),
        )
        for a, b in combinations(estimates, 2)
    )


def _scores(entry: Estimate, rows: str) -> Scores:
    scores = Scores(
        metric=entry.metric, layers=tuple(_layer(entry, layer, rows) for layer in range(len(entry.values)))
    )
    confidence = tuple(entry.jackknife.confidence(a, b) for a, b in pairwise(scores.ranking))
    return Scores(metric=scores.metric, layers=scores.layers, rank_confidence=confidence)


def _layer(entry: Estimate, layer: int, rows: str) -> LayerScore:
    value, interval = entry.values[layer], entry.jackknife.interval(layer)
    if not entry.similarities:  # the KL
        finite = bool(np.isfinite(value))
        return LayerScore(
            value=value,
            status="ok" if finite else "nonfinite",
            explanation="" if finite else "the logits hold NaN or infinite values",
            usable=finite,
            interval=interval,
        )
    similarity = entry.similarities[layer]
    return LayerScore(
        value=value,
        status=similarity.status,
        explanation=similarity.explanation(rows),
        ranks=similarity.ranks,
        usable=similarity.usable,
        interval=interval,
        noise_floor=similarity.noise_floor,
    )


def _flagged(first: Estimate, second: Estimate) -> tuple[int, ...]:
    """Return layers whose removal leaves no contradiction: each time those with the most of them."""
    left = [
        (i, j)
        for i, j in combinations(range(len(first.values)), 2)
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


def _spearman(first: tuple[float, ...], second: tuple[float, ...]) -> float | None:
    if len(set(first)) < 2 or len(set(second)) < 2 or not np.isfinite([*first, *second]).all():
        return None
    return float(scipy.stats.spearmanr(first, second).statistic)
