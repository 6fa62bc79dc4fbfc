"""Linear CKA, biased and debiased: what the papers define, and answers known in closed form."""

import numpy as np
import pytest

from bert_mpq.similarity import cka
from bert_mpq.similarity.cka import debiased_cka
from tests.helpers import reference
from tests.helpers.representations import accumulate, frame, pair, relative_error

SHAPES = [(300, 1), (60, 3), (200, 24), (20, 24)]
NOISES = [0.1, 1.0, 4.0]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_cka_is_the_alignment_of_centred_gram_matrices(rows, dim, noise):
    x, y = pair(rows, dim, noise)
    assert relative_error(cka(accumulate(x, y)).distance, reference.cka(x, y)) < 1e-10


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("rows", "dim"), SHAPES)
def test_debiased_cka_is_the_ratio_of_hsic_1_of_the_whole_gram_matrices(rows, dim, noise):
    x, y = pair(rows, dim, noise)
    assert relative_error(debiased_cka(accumulate(x, y)).distance, reference.debiased_cka(x, y)) < 1e-10


@pytest.mark.parametrize("rows", [6, 7, 8])
def test_debiased_cka_is_the_mean_over_all_quadruples_of_distinct_rows(rows):
    x, y = pair(rows, 2, noise=1.0, seed=rows)
    expected = reference.debiased_cka(x, y, reference.hsic_u_statistic)
    assert relative_error(debiased_cka(accumulate(x, y)).distance, expected) < 1e-10


def test_minibatches_do_not_bias_debiased_cka():
    x, y = pair(64, 8, noise=2.0)
    assert relative_error(debiased_cka(accumulate(x, y, 16)).distance, reference.debiased_cka(x, y)) < 1e-10


def test_cka_of_planted_correlations_has_a_closed_form():
    q = frame(100, 6)
    rho, s, t = np.array([0.9, 0.5, 0.2]), np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 4.0])
    x, y = q[:, :3] * s, (q[:, :3] * rho + q[:, 3:] * np.sqrt(1 - rho**2)) * t
    expected = 1 - (s**2 * t**2 * rho**2).sum() / np.sqrt((s**4).sum() * (t**4).sum())
    assert relative_error(cka(accumulate(x, y)).distance, expected) < 1e-12


def test_cka_of_one_neuron_is_the_squared_correlation():
    x, y = pair(50, 1, noise=1.0)
    expected = 1 - np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2
    assert relative_error(cka(accumulate(x, y)).distance, expected) < 1e-12


def test_cka_of_independent_normal_data_is_biased_by_the_number_of_rows():
    rows, dim = 1000, 100
    x, y = np.random.default_rng(0).normal(size=(2, rows, dim))
    assert cka(accumulate(x, y)).similarity == pytest.approx(dim / (rows - 1 + dim), rel=0.02)


def test_debiased_cka_of_independent_normal_data_is_about_0():
    x, y = np.random.default_rng(0).normal(size=(2, 1000, 100))
    assert abs(debiased_cka(accumulate(x, y)).similarity) < 2e-3


def test_debiased_cka_is_not_clipped_at_0():
    distances = [
        debiased_cka(accumulate(*np.random.default_rng(s).normal(size=(2, 30, 4)))).distance for s in range(9)
    ]
    assert min(distances) < 1 < max(distances)
