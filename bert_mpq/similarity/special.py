"""The cases that every metric answers alike, before any arithmetic."""

import math

from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity


def centred(data: Moments | Covariances) -> Covariances | Similarity:
    """Return the covariances of ``data``, or the answer where they leave no choice.

    Non-finite Y: distance 1. Constant X: no value. Y equal to X: exactly 0. Constant Y: distance 1.
    """
    covariances = data.covariances() if isinstance(data, Moments) else data
    n = covariances.samples
    if covariances.bad_rows:
        return Similarity(distance=1.0, status="nonfinite", samples=n)
    if n < 2:
        return Similarity(distance=math.nan, status="saturated", samples=n)
    if covariances.reference_constant:
        return Similarity(distance=math.nan, status="reference_constant", samples=n)
    if covariances.identical:
        return Similarity(distance=0.0, status="ok", samples=n)
    if covariances.collapsed:
        return Similarity(distance=1.0, status="collapsed", samples=n)
    return covariances
