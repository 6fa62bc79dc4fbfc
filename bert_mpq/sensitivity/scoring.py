"""Scores from moments."""

import math
from itertools import combinations

import numpy as np
import scipy.stats

from bert_mpq.config import Metric
from bert_mpq.errors import MpqError
from bert_mpq.reporting import Reporter
from bert_mpq.results import LayerScore, MetricAgreement, Scores
from bert_mpq.sensitivity.measuring import Measurement
from bert_mpq.similarity import Similarity, cka, pwcca, svcca

METRICS = {"pwcca": pwcca, "svcca": svcca, "cka": cka}


def score(measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter) -> tuple[Scores, ...]:
    """Turn moments into one score per metric and layer.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    sums = measurement.sums
    try:
        covariances = [sums.total(probe).covariances() for probe in range(len(sums.blocks[0]))]
    except ValueError as error:
        raise MpqError("E-MODEL", f"The FP32 model is broken: {error}.", "Check the checkpoint.") from error
    scores = []
    for metric in reporter.track(metrics, "Score layers", len(metrics)):
        if metric == "kl":
            layers = [_kl_score(value) for value in measurement.kl]
        else:
            layers = [_layer_score(METRICS[metric](c)) for c in covariances]
        scores.append(Scores(metric=metric, layers=tuple(layers)))
    return tuple(scores)


def agreement(scores: tuple[Scores, ...], kl: tuple[float, ...]) -> tuple[MetricAgreement, ...]:
    """Return the rank correlation of every pair of scores, and of each with the KL of the logits."""
    named = [(entry.metric, entry.values) for entry in scores]
    if kl and all(name != "kl" for name, _ in named):
        named.append(("kl", kl))
    return tuple(
        MetricAgreement(first=a, second=b, spearman=_spearman(first, second))
        for (a, first), (b, second) in combinations(named, 2)
    )


def _spearman(first: tuple[float, ...], second: tuple[float, ...]) -> float | None:
    if len(set(first)) < 2 or len(set(second)) < 2 or not np.isfinite([*first, *second]).all():
        return None
    return float(scipy.stats.spearmanr(first, second).statistic)


def _kl_score(value: float) -> LayerScore:
    finite = math.isfinite(value)
    return LayerScore(
        value=max(value, 0.0) if finite else value,  # rounding can leave -1e-17
        status="ok" if finite else "nonfinite",
        explanation="" if finite else "the logits hold NaN or infinite values",
        usable=finite,
    )


def _layer_score(similarity: Similarity) -> LayerScore:
    return LayerScore(
        value=similarity.distance,
        status=similarity.status,
        explanation=similarity.explanation,
        ranks=similarity.ranks,
        usable=similarity.usable,
    )
