"""Pairs of representations for the tests, and how to compare distances."""

import numpy as np
from hypothesis import strategies as st

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import debiased_cka
from bert_mpq.similarity.moments import Moments

METRICS = (pwcca, svcca, cka, debiased_cka)


def orthogonal(rng, dim):
    """A random rotation or reflection."""
    return np.linalg.qr(rng.normal(size=(dim, dim)))[0]


def mixing(rng, dim, condition):
    """A matrix that gives white rows a covariance of this condition number."""
    spread = np.geomspace(1.0, condition**-0.5, dim)
    return orthogonal(rng, dim) * spread @ orthogonal(rng, dim)


def pair(rows=300, dim=8, noise=0.3, condition=10.0, seed=0):
    """X with correlated neurons and a mean, and Y = X + noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, dim)) @ mixing(rng, dim, condition) + rng.normal(size=dim)
    return x, x + noise * condition**-0.5 * rng.normal(size=(rows, dim))


def frame(rows, columns, seed=0):
    """Orthonormal columns that sum to 0."""
    a = np.random.default_rng(seed).normal(size=(rows, columns))
    return np.linalg.qr(a - a.mean(0))[0]


def accumulate(x, y, chunks=1, shift=None):
    """Moments of the rows, fed in chunks (a number, or the places to cut)."""
    moments = Moments(x.shape[1], shift)
    for x_chunk, y_chunk in zip(np.array_split(x, chunks), np.array_split(y, chunks), strict=True):
        moments.update(x_chunk, y_chunk)
    return moments


def relative_error(actual, expected):
    return float(abs(actual - expected) / abs(expected))


@st.composite
def pairs(draw, max_dim=12):
    """Well-conditioned pairs of every shape, at a moderate distance."""
    dim = draw(st.integers(1, max_dim))
    rows = draw(st.integers(4 * dim + 4, 200))
    noise = draw(st.sampled_from([0.03, 0.3, 3.0]))
    return pair(rows, dim, noise, seed=draw(st.integers(0, 2**32 - 1)))
