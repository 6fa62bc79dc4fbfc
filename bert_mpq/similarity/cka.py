"""Linear centred kernel alignment from moments (Kornblith et al., ICML 2019)."""

import dataclasses
import math

from torch import Tensor

from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity
from bert_mpq.similarity.special import centred


def cka(data: Moments | Covariances) -> Similarity:
    """Linear CKA, <K, L> / (|K| |L|) with the centred Gram matrices K of X and L of Y.

    Equals ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) (Kornblith et al. 2019, eq. 5 with a linear kernel).
    """
    covariances = centred(data)
    if isinstance(covariances, Similarity):
        return covariances
    if not covariances.far:
        return _near(covariances, *_gram_products(covariances), (0.0, 0.0, 0.0))
    answer = _far(covariances, (0.0, 0.0, 0.0))
    # Two positive semidefinite Grams have a cosine in [0, 1]; rounding can leave it by 1e-16.
    return dataclasses.replace(answer, distance=min(max(answer.distance, 0.0), 1.0))


def debiased_cka(data: Moments | Covariances) -> Similarity:
    """Linear CKA with the unbiased HSIC_1 estimator (Song et al. 2012, eq. 5), exact on all rows.

    It is 0 on average for independent representations, so it can be negative and the distance above 1. It
    needs at least 4 rows; fewer are ``saturated``.
    """
    covariances = centred(data)
    if isinstance(covariances, Similarity):
        return covariances
    n = covariances.samples
    if n < 4:
        return Similarity(distance=math.nan, status="saturated", samples=n)
    f, g = n / (n - 2), 1.0 / ((n - 1) * (n - 2))
    trace = float(covariances.xx.trace())
    change = float(2.0 * covariances.xe.trace() + covariances.ee.trace())
    aa, ad, dd = covariances.aa, covariances.ad, covariances.dd
    # Inner products of U-centred Grams: those of the centred ones, less a term of the diagonals.
    kk_less, kd_less, dd_less = (
        f * diagonals - g * traces
        for diagonals, traces in ((aa, trace * trace), (ad, trace * change), (dd, change * change))
    )
    if covariances.far:
        return _far(covariances, (kk_less, kk_less + kd_less, kk_less + 2.0 * kd_less + dd_less))
    return _near(covariances, *_gram_products(covariances), (kk_less, kd_less, dd_less))


def _gram_products(c: Covariances) -> tuple[float, float, float]:
    """Return <K, K>, <K, D> and <D, D> for the Grams K of X and D = L - K; no n x n matrix is formed."""
    kk = _inner(c.xx, c.xx)
    kd = 2.0 * _inner(c.xx, c.xe) + _inner(c.xe, c.xe)
    dd = 2.0 * _inner(c.xx, c.ee) + 2.0 * _inner(c.xe, c.xe.mT) + 4.0 * _inner(c.xe, c.ee)
    return kk, kd, dd + _inner(c.ee, c.ee)


def _near(c: Covariances, kk: float, kd: float, dd: float, less: tuple[float, float, float]) -> Similarity:
    """Return 1 - cos of the angle between K and K + D, through its sine where the cosine is near 1.

    Args:
        less: what to subtract from <K, K>, <K, D> and <D, D>.
    """
    largest = abs(dd) + abs(less[2]) + (abs(kd) + abs(less[1])) ** 2 / kk  # what cancels in the sine
    kk, kd, dd = kk - less[0], kd - less[1], dd - less[2]
    ll = kk + 2.0 * kd + dd
    if not (kk > 0.0 and ll > 0.0):
        return Similarity(distance=math.nan, status="saturated", samples=c.samples)
    cosine = (kk + kd) / math.sqrt(kk * ll)
    sine_squared = max(dd - kd * kd / kk, 0.0) / ll
    distance = sine_squared / (1.0 + cosine) if cosine > 0.0 else 1.0 - cosine
    floor = c.relative_noise * (largest / ll + distance)
    return Similarity(distance=distance, status="ok", samples=c.samples, noise_floor=floor)


def _far(c: Covariances, less: tuple[float, float, float]) -> Similarity:
    """Return 1 - <K, L> / (|K| |L|) directly: where Y is far from X, K + D would cancel.

    Args:
        less: what to subtract from <K, K>, <K, L> and <L, L>.
    """
    kk, kl, ll = _inner(c.xx, c.xx) - less[0], _inner(c.xy, c.xy) - less[1], _inner(c.yy, c.yy) - less[2]
    if not (kk > 0.0 and ll > 0.0):
        return Similarity(distance=math.nan, status="saturated", samples=c.samples)
    distance = 1.0 - kl / math.sqrt(kk) / math.sqrt(ll)
    floor = c.relative_noise * max(1.0 + abs(less[0]) / kk, 1.0 + abs(less[2]) / ll)
    return Similarity(distance=distance, status="ok", samples=c.samples, noise_floor=floor)


def _inner(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())
