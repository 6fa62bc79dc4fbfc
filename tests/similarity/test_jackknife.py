"""Intervals that cover, orders that are claimed only where they hold, and what leaving a block out means."""

import math

import numpy as np
import pytest

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca
from bert_mpq.similarity.jackknife import Jackknife
from tests.helpers.representations import METRICS, accumulate, mixing, pair, relative_error

BLOCKS = 10


def without_each_block(x, y):
    """Moments of all rows, and of all but the rows of each block."""
    parts = [accumulate(x[b::BLOCKS], y[b::BLOCKS], shift=x.mean(0)) for b in range(BLOCKS)]
    whole = parts[0].sibling()
    for part in parts:
        whole.merge(part)
    return whole, [whole.without(part) for part in parts]


def jackknife(metric, *pairs):
    """The jackknife of a metric over pairs that share their rows."""
    whole, replicates = [], []
    for x, y in pairs:
        total, rest = without_each_block(x, y)
        whole.append(metric(total).distance)
        replicates.append([metric(moments).distance for moments in rest])
    return Jackknife.from_scores(np.array(whole), np.array(replicates).T)


@pytest.mark.parametrize("metric", METRICS)
def test_leaving_a_block_out_is_the_same_as_never_having_seen_it(metric):
    x, y = pair()
    _, rest = without_each_block(x, y)
    kept = np.arange(len(x)) % BLOCKS != 3
    assert rest[3].samples == kept.sum()
    assert relative_error(metric(rest[3]).distance, metric(accumulate(x[kept], y[kept])).distance) < 1e-10


def test_leaving_a_block_out_leaves_the_whole_alone():
    x, y = pair()
    part, whole = accumulate(x[:50], y[:50]), accumulate(x[:50], y[:50])
    whole.update(x[50:], y[50:])
    before = cka(whole).distance
    whole.without(part)
    assert cka(whole).distance == before


def test_a_block_with_another_shift_cannot_be_left_out():
    x, y = pair()
    with pytest.raises(ValueError, match="different shifts"):
        accumulate(x, y).without(accumulate(x[:50] + 1, y[:50]))


def test_of_a_mean_it_is_the_textbook_standard_error():
    values = np.random.default_rng(0).lognormal(size=BLOCKS)
    means = (values.sum() - values) / (BLOCKS - 1)
    entry = Jackknife(whole=np.array([values.mean()]), replicates=means[:, None])
    assert entry.covariance[0, 0] == pytest.approx(values.var(ddof=1) / BLOCKS, rel=1e-12)
    assert entry.bias[0] == pytest.approx(0.0, abs=1e-12)


def test_the_bias_of_a_plug_in_variance_is_found():
    # The plug-in variance of n values is too small by 1/n: the jackknife's classic.
    values = np.random.default_rng(0).normal(size=BLOCKS)
    rest = np.array([np.delete(values, b).var() for b in range(BLOCKS)])
    entry = Jackknife(whole=np.array([values.var()]), replicates=rest[:, None])
    assert entry.whole[0] - entry.bias[0] == pytest.approx(values.var(ddof=1), rel=1e-12)


@pytest.mark.parametrize("metric", [cka, pwcca])
def test_intervals_cover_the_truth_95_times_in_100(metric):
    dim, rows, repeats = 6, 400, 200
    rng = np.random.default_rng(7)
    cov_x, cov_e = mixing(rng, dim, 10.0), 0.1 * mixing(rng, dim, 10.0)

    def draw(count):
        x = rng.normal(size=(count, dim)) @ cov_x
        return x, x + rng.normal(size=(count, dim)) @ cov_e

    truth = metric(accumulate(*draw(400_000))).distance
    intervals = [jackknife(metric, draw(rows)).interval(0) for _ in range(repeats)]
    covered = sum(low < truth < high for low, high in intervals)
    assert 0.90 * repeats <= covered <= 0.995 * repeats


def test_the_order_of_equal_layers_is_open_and_that_of_far_ones_is_certain():
    x, near = pair(2000, noise=0.1)
    _, other = pair(2000, noise=0.1)
    y, z = x + (other - x) * 1.0001, x + 2 * (near - x)
    entry = jackknife(cka, (x, near), (x, y), (x, z))
    assert entry.confidence(2, 0) > 0.999
    assert entry.confidence(0, 2) == pytest.approx(1 - entry.confidence(2, 0), abs=1e-12)
    rng = np.random.default_rng(1)
    twins = [x + 0.1 * rng.normal(size=x.shape) for _ in range(2)]
    assert 0.01 < jackknife(cka, *((x, twin) for twin in twins)).confidence(0, 1) < 0.99


def test_what_two_layers_have_in_common_cancels_in_their_order():
    x, y = pair(1000, noise=0.3)
    entry = jackknife(cka, (x, y), (x, x + 1.02 * (y - x)))
    low, high = entry.interval(1)
    assert low < math.exp(entry.whole[0]) < high  # by itself each could be the other
    assert entry.confidence(1, 0) > 0.999


def test_the_confidence_in_an_order_is_a_probability():
    rng = np.random.default_rng(3)
    held = [jackknife(cka, *_same_truth(rng)).confidence(0, 1) for _ in range(200)]
    # Under equal truths the confidence is uniform: 5 % beyond either 2.5 % end.
    assert 0.01 < np.mean([c < 0.025 or c > 0.975 for c in held]) < 0.10
    assert 0.4 < np.mean([c > 0.5 for c in held]) < 0.6


def _same_truth(rng):
    x = rng.normal(size=(200, 3))
    return [(x, x + 0.2 * rng.normal(size=x.shape)) for _ in range(2)]


@pytest.mark.parametrize(
    ("whole", "replicates"),
    [
        (0.0, [0.0] * 10),  # identical sides
        (0.5, [0.5] * 9 + [math.nan]),  # a replicate of too few rows
        (math.nan, [0.5] * 10),
        (0.5, [0.4, 0.6]),  # two blocks
    ],
)
def test_without_a_score_in_every_replicate_there_is_no_interval(whole, replicates):
    entry = Jackknife.from_scores(np.array([whole, 1.0]), np.array([replicates, [1.0] * len(replicates)]).T)
    assert entry.interval(0) is None
    assert entry.confidence(0, 1) is None


def test_scores_without_spread_are_ordered_for_certain():
    entry = Jackknife.from_scores(np.array([2.0, 1.0, 1.0]), np.array([[2.0, 1.0, 1.0]] * 10))
    assert (entry.confidence(0, 1), entry.confidence(1, 0), entry.confidence(1, 2)) == (1.0, 0.0, 0.5)
    assert entry.interval(0) == pytest.approx((2.0, 2.0))
