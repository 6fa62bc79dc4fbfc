"""PWCCA and SVCCA: what the papers define, and answers known in closed form."""

import math

import numpy as np
import pytest

from bert_mpq.similarity.cca import pwcca, svcca
from tests.helpers import reference
from tests.helpers.representations import accumulate, frame, orthogonal, pair, relative_error

SHAPES = [(300, 1), (60, 3), (200, 24)]
# 0.1: built from E = Y - X alone; 1 and 4: Y is far from X and the correlations are taken directly.
NOISES = [0.1, 1.0, 4.0]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_pwcca_is_that_of_the_stored_activations(rows, dim, noise):
    x, y = pair(rows, dim, noise)
    assert relative_error(pwcca(accumulate(x, y)).distance, reference.pwcca(x, y)) < 1e-10


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("variance", [0.5, 0.9, 0.99, 1.0])
def test_svcca_by_share_of_variance_is_that_of_the_stored_activations(variance, noise):
    x, y = pair(200, 24, noise, condition=1e3)
    expected = reference.svcca(x, y, variance)
    assert relative_error(svcca(accumulate(x, y), variance).distance, expected) < 1e-10


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("top_k", [1, 5, 24])
def test_svcca_of_the_leading_directions_is_that_of_the_stored_activations(top_k, noise):
    x, y = pair(200, 24, noise, condition=1e3)
    expected = reference.svcca(x, y, top_k=top_k)
    assert relative_error(svcca(accumulate(x, y), top_k=top_k).distance, expected) < 1e-10


def test_svcca_keeps_the_fewest_directions_that_hold_the_variance():
    x = frame(50, 4) * np.sqrt([0.6, 0.25, 0.1, 0.05])
    moments = accumulate(x, x + 1e-9 * frame(50, 4, seed=1))
    ranks = [svcca(moments, variance).ranks for variance in (0.59, 0.61, 0.84, 0.86, 0.96)]
    assert ranks == [(1, 1), (2, 2), (2, 2), (3, 3), (4, 4)]


def test_svcca_counts_the_directions_of_each_side_by_itself():
    q = frame(50, 4)
    moments = accumulate(q * [1.0, 0.1, 0.1, 0.1], q)
    assert svcca(moments, 0.9).ranks == (1, 4)


def test_svcca_averages_over_the_side_with_fewer_directions():
    q, rho = frame(50, 3), 0.6
    x = q[:, :2] * [1.0, 1e-3]
    y = np.stack([rho * q[:, 0] + 0.8 * q[:, 2], q[:, 1]], 1)
    assert svcca(accumulate(x, y), 0.99).distance == pytest.approx(1 - rho, rel=1e-12)


def test_svcca_keeps_no_more_directions_than_there_are():
    assert svcca(accumulate(*pair(100, 3)), top_k=20).ranks == (3, 3)


@pytest.mark.parametrize("option", [{"variance": 0.0}, {"variance": 1.01}, {"top_k": 0}])
def test_svcca_refuses_options_that_keep_nothing_or_more_than_everything(option):
    with pytest.raises(ValueError, match="variance must be in"):
        svcca(accumulate(*pair()), **option)


def planted(rho, s, rows=100):
    """X with orthogonal neurons of size s, and Y a rotation of variates with correlations rho."""
    dim = len(rho)
    q = frame(rows, 2 * dim)
    y = q[:, :dim] * rho + q[:, dim:] * np.sqrt(1 - rho**2)
    return q[:, :dim] * s, y @ orthogonal(np.random.default_rng(1), dim)


def test_pwcca_weighs_planted_correlations_by_the_size_of_the_neurons():
    rho, s = np.array([0.9, 0.5, 0.2]), np.array([1.0, 2.0, 5.0])
    expected = (s * (1 - rho)).sum() / s.sum()
    assert relative_error(pwcca(accumulate(*planted(rho, s))).distance, expected) < 1e-12


def test_svcca_of_every_direction_is_the_plain_mean_of_planted_correlations():
    rho, s = np.array([0.9, 0.5, 0.2]), np.array([1.0, 2.0, 5.0])
    distance = svcca(accumulate(*planted(rho, s)), variance=1.0).distance
    assert relative_error(distance, (1 - rho).mean()) < 1e-12


@pytest.mark.parametrize("metric", [pwcca, svcca])
def test_cca_of_one_neuron_is_the_absolute_correlation(metric):
    x, y = pair(50, 1, noise=1.0)
    expected = 1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    assert relative_error(metric(accumulate(x, -y)).distance, expected) < 1e-12


def test_correlations_of_independent_normal_data_follow_wachters_law():
    # Wachter 1980, for c = dim / (rows - 1) on both sides: rho^2 has mean c and rho the mean below.
    rows, dim = 2001, 200
    x, y = np.random.default_rng(0).normal(size=(2, rows, dim))
    c = dim / (rows - 1)
    largest = 2 * math.sqrt(c * (1 - c))
    mean = (largest - (1 - 2 * c) * math.atan(largest / (1 - 2 * c))) / (math.pi * c)
    assert svcca(accumulate(x, y), variance=1.0).similarity == pytest.approx(mean, rel=5e-3)


@pytest.mark.parametrize("noise", NOISES)
def test_pwcca_copes_with_outlier_neurons(noise):
    x, y = pair(200, 12, noise)
    scale = np.geomspace(1.0, 1e5, 12)
    assert (
        relative_error(pwcca(accumulate(x * scale, y * scale)).distance, reference.pwcca(x * scale, y))
        < 1e-10
    )
