"""Distances far below the rounding of 1 - s, against 60-digit references.

Tolerances: similarity.md, section 5. Formed as 1 - s in float64, every case below 1e-12 would be noise.
"""

import numpy as np
import pytest

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import debiased_cka
from tests.helpers import reference
from tests.helpers.representations import accumulate, mixing, relative_error

NOISES = [1e-2, 1e-5, 3e-8]
CONDITIONS = [1.0, 1e3, 1e6]


def near_pair(noise, condition, rows=60, dim=6):
    """Y so near to X that the distance is about noise^2; both of the same condition number."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, dim)) @ mixing(rng, dim, condition)
    return x, x + noise * rng.normal(size=(rows, dim)) @ mixing(rng, dim, condition)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("metric", "exact"), [(cka, reference.exact_cka), (debiased_cka, reference.exact_debiased_cka)]
)
def test_cka_is_accurate_at_any_distance(metric, exact, noise, condition):
    x, y = near_pair(noise, condition)
    assert relative_error(metric(accumulate(x, y)).distance, exact(x, y)) < 1e-14


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("noise", NOISES)
def test_pwcca_loses_only_the_digits_of_the_condition_number(noise, condition):
    x, y = near_pair(noise, condition)
    assert relative_error(pwcca(accumulate(x, y)).distance, reference.exact_pwcca(x, y)) < 1e-13 * condition


@pytest.mark.parametrize("noise", NOISES)
def test_svcca_loses_only_the_digits_of_the_angle_between_the_bases(noise):
    # The leading directions of X and Y differ by an angle of about sqrt(distance), known to 1e-16.
    x, y = near_pair(noise, condition=1e3)
    expected = reference.exact_svcca(x, y, top_k=3)
    tolerance = 3e-14 / float(expected) ** 0.5
    assert relative_error(svcca(accumulate(x, y), top_k=3).distance, expected) < tolerance


def test_the_smallest_distances_above_are_of_the_order_of_the_float64_rounding_error():
    x, y = near_pair(NOISES[-1], 1.0)
    assert 1e-16 < reference.exact_pwcca(x, y) < 2e-15


@pytest.mark.parametrize(
    ("metric", "exact"),
    [
        (cka, reference.exact_cka),
        (debiased_cka, reference.exact_debiased_cka),
        (pwcca, reference.exact_pwcca),
    ],
)
def test_float32_activations_near_each_other_keep_their_distance(metric, exact):
    x, y = (side.astype(np.float32) for side in near_pair(1e-4, 10.0))
    assert relative_error(metric(accumulate(x, y)).distance, exact(x, y)) < 1e-12


@pytest.mark.parametrize("metric", [pwcca, cka, debiased_cka])
def test_a_mean_far_above_the_spread_costs_few_digits(metric):
    x, y = near_pair(1e-2, 1.0)
    mean = 1024.0
    x, y = (x + mean) - mean, (y + mean) - mean  # rounded as they are beside the mean
    expected = metric(accumulate(x, y)).distance
    assert relative_error(metric(accumulate(x + mean, y + mean)).distance, expected) < 1e-11


def noisy_pair(kind, condition):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 4)) @ mixing(rng, 4, condition)
    noise = 1e-5 * rng.normal(size=x.shape) @ mixing(rng, 4, condition)
    # Y = c X is no distance at all: everything that E holds has to cancel.
    return x, x + noise if kind == "noise" else 1.00001 * x + 1e-5 * noise


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("kind", ["noise", "scale"])
@pytest.mark.parametrize(
    ("metric", "exact"),
    [
        (cka, reference.exact_cka),
        (debiased_cka, reference.exact_debiased_cka),
        (pwcca, reference.exact_pwcca),
        (lambda moments: svcca(moments, top_k=2), lambda x, y: reference.exact_svcca(x, y, top_k=2)),
    ],
    ids=["cka", "debiased_cka", "pwcca", "svcca"],
)
def test_the_error_stays_below_the_noise_floor(metric, exact, kind, condition):
    x, y = noisy_pair(kind, condition)
    answer = metric(accumulate(x, y))
    assert abs(answer.distance - float(exact(x, y))) <= answer.noise_floor
    assert answer.noise_floor < 1e-6  # and says something


def test_a_difference_that_is_all_scale_is_known_to_be_noise():
    x, _ = noisy_pair("noise", 1e3)
    assert pwcca(accumulate(x, 1.00001 * x)).distance < pwcca(accumulate(x, 1.00001 * x)).noise_floor
