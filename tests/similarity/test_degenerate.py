"""Data that leaves a metric no honest number: a value and a status, never a silent figure (section 2.5)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca, svcca
from bert_mpq.similarity.cka import debiased_cka
from bert_mpq.similarity.moments import Moments
from tests.helpers import reference
from tests.helpers.representations import METRICS, accumulate, orthogonal, pair, relative_error

every_metric = pytest.mark.parametrize("metric", METRICS)
every_cca = pytest.mark.parametrize("metric", [pwcca, svcca])


@every_metric
def test_identical_sides_are_at_distance_exactly_0(metric):
    x, _ = pair(condition=1e4)
    answer = metric(accumulate(x, x, chunks=3))
    assert (answer.distance, answer.similarity, answer.status) == (0.0, 1.0, "ok")


@every_metric
@pytest.mark.parametrize("constant", [0.0, 0.1, 5.3, -1000 / 7])
def test_a_constant_reference_has_no_value(metric, constant):
    _, y = pair()
    answer = metric(accumulate(np.full_like(y, constant), y, chunks=3))
    assert math.isnan(answer.distance)
    assert answer.status == "reference_constant"
    assert not answer.usable


@every_metric
@pytest.mark.parametrize("constant", [0.0, 0.1, 5.3])
def test_a_constant_perturbed_side_is_at_distance_1(metric, constant):
    x, _ = pair()
    answer = metric(accumulate(x, np.full_like(x, constant), chunks=3))
    assert (answer.distance, answer.status, answer.usable) == (1.0, "collapsed", True)


def statuses_of_constants(metric, make):
    """The statuses over 100 constants, since rounding decides each."""
    return {
        metric(accumulate(*make(constant), shift=np.zeros(8))).status
        for constant in np.linspace(5, 1000, 100)
    }


@every_metric
def test_a_constant_reference_is_found_out_far_from_the_shift(metric):
    _, y = pair()
    assert statuses_of_constants(metric, lambda c: (np.full_like(y, c), y)) == {"reference_constant"}


@every_metric
def test_a_constant_perturbed_side_is_found_out_far_from_the_reference(metric):
    x, _ = pair()
    assert statuses_of_constants(metric, lambda c: (x, np.full_like(x, c))) == {"collapsed"}


@every_metric
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nonfinite_perturbed_rows_put_it_at_distance_1(metric, value):
    x, y = pair(rows=300)
    y[[3, 200], 5] = value
    answer = metric(accumulate(x, y, chunks=3))
    assert (answer.distance, answer.status, answer.samples) == (1.0, "nonfinite", 298)


def test_nonfinite_perturbed_rows_are_counted():
    x, y = pair()
    y[[3, 200]] = math.nan
    assert accumulate(x, y, chunks=3).covariances().bad_rows == 2


@every_metric
def test_a_perturbed_side_without_a_finite_row_is_at_distance_1(metric):
    x, y = pair()
    answer = metric(accumulate(x, np.full_like(y, math.nan)))
    assert (answer.distance, answer.status, answer.samples) == (1.0, "nonfinite", 0)


@every_metric
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nonfinite_reference_is_an_error(metric, value):
    x, y = pair()
    x[[3, 4, 200], 5] = value
    with pytest.raises(ValueError, match="3 rows of the FP32 reference"):
        metric(accumulate(x, y, chunks=3))


@every_metric
def test_no_rows_are_an_error(metric):
    with pytest.raises(ValueError, match="no rows"):
        metric(Moments(8))


@every_cca
@pytest.mark.parametrize(
    ("rows", "status", "usable"),
    [
        (6, "saturated", False),
        (7, "few_samples", True),
        (59, "few_samples", True),
        (60, "ok", True),
    ],
)
def test_cca_of_3_and_3_directions_says_whether_there_are_enough_rows(metric, rows, status, usable):
    x, y = pair(rows, 3, condition=1.0)
    answer = metric(accumulate(x, y))
    assert answer.ranks == (3, 3)
    assert (answer.status, answer.usable) == (status, usable)


def test_saturated_cca_is_perfect_whatever_the_data():
    x, y = np.random.default_rng(0).normal(size=(2, 12, 20))
    answer = pwcca(accumulate(x, y))
    assert answer.status == "saturated"
    assert answer.distance < 1e-12


@pytest.mark.parametrize("rows", [2, 3])
def test_debiased_cka_needs_4_rows(rows):
    answers = [debiased_cka(accumulate(*pair(rows, 3, seed=seed))) for seed in range(20)]
    assert {answer.status for answer in answers} == {"saturated"}
    assert all(math.isnan(answer.distance) for answer in answers)


@every_metric
def test_a_single_row_has_no_value(metric):
    assert not metric(accumulate(*pair(rows=1))).usable


@every_metric
def test_every_status_but_ok_is_explained(metric):
    x, y = pair()
    assert metric(accumulate(x, y)).explanation() == ""
    assert metric(accumulate(x, np.zeros_like(y))).explanation()


@every_metric
def test_a_neuron_dead_on_both_sides_changes_nothing(metric):
    x, y = pair(300, 5)
    dead = np.full((300, 1), 7.7)
    with_dead = metric(accumulate(np.hstack([x, dead]), np.hstack([y, dead]), chunks=3))
    without = metric(accumulate(x, y, chunks=3))
    assert with_dead.ranks == without.ranks
    assert relative_error(with_dead.distance, without.distance) < 1e-10


def test_a_duplicated_neuron_adds_no_direction_but_counts_twice_in_the_weights():
    x, y = pair(300, 5)
    twice = [0, 1, 2, 3, 4, 0]
    answer = pwcca(accumulate(x[:, twice], y[:, twice]))
    assert answer.ranks == (5, 5)
    assert relative_error(answer.distance, reference.pwcca(x[:, twice], y)) < 1e-10


@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_a_direction_that_the_perturbed_side_has_lost_counts_with_correlation_0(noise):
    x, y = pair(300, 5, noise)
    rotation = orthogonal(np.random.default_rng(1), 5)
    rotation[:, 4] = 0.0
    lost = y @ rotation @ rotation.T
    answer = pwcca(accumulate(x, lost))
    assert answer.ranks == (5, 4)
    # Its rho is the square root of a rounding error, not 0.
    assert relative_error(answer.distance, reference.pwcca(x, lost)) < 1e-6


@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_a_neuron_that_dies_is_a_lost_direction(noise):
    x, y = pair(300, 5, noise)
    y[:, 2] = 0.0
    assert relative_error(pwcca(accumulate(x, y)).distance, reference.pwcca(x, y)) < 1e-6


def test_a_neuron_that_dies_is_not_counted_in_the_rank():
    x, y = pair(300, 24)
    y[:, :8] = 0.0
    assert pwcca(accumulate(x, y)).ranks == (24, 16)


def test_pwcca_with_several_lost_directions_does_not_depend_on_the_batches():
    x, y = pair(300, 24)
    y[:, :8] = 0.0
    whole, chunked = (pwcca(accumulate(x, y, chunks)).distance for chunks in (1, 3))
    assert relative_error(chunked, whole) < 1e-6


def test_a_direction_that_only_the_perturbed_side_has_does_not_count():
    x, y = pair(300, 5)
    x[:, 2] = 0.0
    answer = pwcca(accumulate(x, y))
    assert answer.ranks == (4, 5)
    assert relative_error(answer.distance, reference.pwcca(x, y)) < 1e-10


small_integers = st.integers(1, 5).flatmap(
    lambda dim: hnp.arrays(
        np.int8, st.tuples(st.just(2), st.integers(2, 12), st.just(dim)), elements=st.integers(-2, 2)
    )
)


@pytest.mark.parametrize("metric", [pwcca, svcca, cka])
@settings(max_examples=150, deadline=None)
@given(data=small_integers)
def test_rank_deficient_data_never_raises_and_never_leaves_the_interval_from_0_to_1(metric, data):
    x, y = data.astype(np.float64)
    answer = metric(accumulate(x, y))
    assert 0 <= answer.distance <= 1 + 1e-12 or not answer.usable
