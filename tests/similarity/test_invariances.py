"""What changes a metric and what does not (the table of similarity.md, section 6)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import debiased_cka
from tests.helpers.representations import METRICS, accumulate, mixing, orthogonal, pair, relative_error

rng = np.random.default_rng(5)
DIM = 8
ROTATION = orthogonal(rng, DIM)
AFFINE = mixing(rng, DIM, condition=20.0)
SIGNED_PERMUTATION = np.eye(DIM)[rng.permutation(DIM)] * rng.choice([-1, 1], DIM)


def mean_cca(moments):
    return svcca(moments, variance=1.0)


def svcca_90(moments):
    return svcca(moments, variance=0.9)


CHANGES = {
    "rotated X": lambda x, y: (x @ ROTATION, y),
    "rotated Y": lambda x, y: (x, y @ ROTATION),
    "affine X": lambda x, y: (x @ AFFINE + 1.0, y),
    "affine Y": lambda x, y: (x, y @ AFFINE + 1.0),
    "scaled X": lambda x, y: (3.0 * x, y),
    "scaled Y": lambda x, y: (x, 3.0 * y),
    "shifted X": lambda x, y: (x + np.arange(DIM), y),
    "shifted Y": lambda x, y: (x, y - np.arange(DIM)),
    "signed permutation of X": lambda x, y: (x @ SIGNED_PERMUTATION, y),
    "signed permutation of both": lambda x, y: (x @ SIGNED_PERMUTATION, y @ SIGNED_PERMUTATION),
    "swapped": lambda x, y: (y, x),
}
AFFINE_CHANGES = {"affine X", "affine Y"}
FELT = {
    cka: AFFINE_CHANGES,
    debiased_cka: AFFINE_CHANGES,
    svcca_90: AFFINE_CHANGES,
    mean_cca: set(),
    pwcca: {"rotated X", "affine X", "swapped"},
}


def change_of_distance(metric, change):
    x, y = pair(300, DIM, noise=1.0)
    before = metric(accumulate(x, y)).distance
    return relative_error(metric(accumulate(*CHANGES[change](x, y))).distance, before)


@pytest.mark.parametrize(
    ("metric", "change"),
    [(metric, change) for metric, felt in FELT.items() for change in CHANGES if change not in felt],
)
def test_metric_ignores(metric, change):
    assert change_of_distance(metric, change) < 1e-10


@pytest.mark.parametrize(
    ("metric", "change"), [(metric, change) for metric, felt in FELT.items() for change in sorted(felt)]
)
def test_metric_feels(metric, change):
    assert change_of_distance(metric, change) > 1e-3


@pytest.mark.parametrize("metric", [pwcca, cka, debiased_cka])
@settings(max_examples=30, deadline=None)
@given(dim=st.integers(1, 12), seed=st.integers(0, 2**32 - 1), noise=st.sampled_from([1e-7, 1e-4, 1e-2, 0.1]))
def test_more_noise_is_farther(metric, dim, seed, noise):
    nearer, farther = (metric(accumulate(*pair(200, dim, size, seed=seed))) for size in (noise, 1.5 * noise))
    assert 0 < nearer.distance < farther.distance


@pytest.mark.parametrize("metric", METRICS)
def test_metric_ignores_the_size_of_a_shrunken_side(metric):
    # The fourth-order sums of Y are differences of X's: c^4 of the digits are left at a factor c.
    factor = 1e-2 if metric is debiased_cka else 1e-3
    x, y = pair()
    expected = metric(accumulate(x, y)).distance
    assert relative_error(metric(accumulate(x, factor * y)).distance, expected) < 1e-6


@pytest.mark.parametrize("metric", METRICS)
def test_metric_ignores_the_size_of_a_swollen_side(metric):
    x, y = pair()
    expected = metric(accumulate(x, y)).distance
    assert relative_error(metric(accumulate(x, 1e5 * y)).distance, expected) < 1e-10
