"""Linear centred kernel alignment from moments (Kornblith et al., ICML 2019)."""

import math

import numpy as np

from bert_mpq.similarity.covariances import Array, Covariances
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity
from bert_mpq.similarity.special import special_case

EPSILON = float(np.finfo(np.float64).eps)


def cka(data: Moments | Covariances) -> Similarity:
    """Linear CKA, <K, L> / (|K| |L|) with the centred Gram matrices K of X and L of Y.

    Equals ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) (Kornblith et al. 2019, eq. 5 with a linear kernel).
    """
    covariances = data.covariances() if isinstance(data, Moments) else data
    special = special_case(covariances)
    if special is not None:
        return special
    kk, kd, dd = _gram_products(covariances)
    return _alignment(covariances.samples, kk, kd, dd)


def debiased_cka(data: Moments | Covariances) -> Similarity:
    """Linear CKA with the unbiased HSIC_1 estimator (Song et al. 2012, eq. 5), exact on all rows.

    It is 0 on average for independent representations, so it can be negative and the distance above 1. It
    needs at least 4 rows; fewer are ``saturated``.
    """
    covariances = data.covariances() if isinstance(data, Moments) else data
    n = covariances.samples
    special = special_case(covariances)
    if special is not None:
        return special
    if n < 4:
        return Similarity(distance=math.nan, status="saturated", samples=n)
    kk, kd, dd = _gram_products(covariances)
    f, g = n / (n - 2), 1.0 / ((n - 1) * (n - 2))
    trace = float(np.trace(covariances.xx))
    change = float(2.0 * np.trace(covariances.xe) + np.trace(covariances.ee))
    kk += -f * covariances.aa + g * trace**2
    kd += -f * covariances.ad + g * trace * change
    dd += -f * covariances.dd + g * change**2
    return _alignment(n, kk, kd, dd)


def _gram_products(c: Covariances) -> tuple[float, float, float]:
    """Return <K, K>, <K, D> and <D, D> for the Grams K of X and D = L - K; no n x n matrix is formed."""
    kk = _inner(c.xx, c.xx)
    kd = 2.0 * _inner(c.xx, c.xe) + _inner(c.xe, c.xe)
    dd = 2.0 * _inner(c.xx, c.ee) + 2.0 * _inner(c.xe, c.xe.T) + 4.0 * _inner(c.xe, c.ee)
    return kk, kd, dd + _inner(c.ee, c.ee)


def _alignment(n: int, kk: float, kd: float, dd: float) -> Similarity:
    """Return 1 - cos of the angle between K and K + D, through its sine where the cosine is near 1."""
    ll = kk + 2.0 * kd + dd
    if not (kk > 0.0 and ll > 0.0):
        return Similarity(distance=math.nan, status="saturated", samples=n)
    cosine = (kk + kd) / math.sqrt(kk * ll)
    sine_squared = max(dd - kd * kd / kk, 0.0) / ll
    distance = sine_squared / (1.0 + cosine) if cosine > 0.0 else 1.0 - cosine
    error = EPSILON * (1.0 + kd * kd / kk / max(dd, 1e-300))
    return Similarity(distance=distance, status="ok", samples=n, relative_error=error)


def _inner(a: Array, b: Array) -> float:
    return float(np.einsum("ij,ij->", a, b))
