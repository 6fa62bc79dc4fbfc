"""Intervals, ranking and agreement of the metrics."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bert_mpq.compute.forward import BatchUse
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.sensitivity import LayerScore, Scores
from bert_mpq.sensitivity import estimates
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.sensitivity.estimates import Estimate, estimate, kl_estimate
from bert_mpq.sensitivity.measure import Measurement
from bert_mpq.sensitivity.scoring import agreement, score, spearman
from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca
from bert_mpq.similarity.jackknife import Jackknife

REVIEWS, DIM, NOISES = 400, 6, (0.1, 0.3, 0.2)


def made(metric, values, spread=0.01, seed=0):
    """An estimate whose logs have a standard error of about ``spread``, independent between layers."""
    noise = spread / 3 * np.random.default_rng(seed).normal(size=(10, len(values)))
    values = np.array(values, float)
    replicates = values * np.exp(noise)
    return Estimate(
        scores=Scores(metric=metric, layers=tuple(LayerScore(value=value) for value in values.tolist())),
        jackknife=Jackknife.from_scores(values, replicates),
    )


def test_agreement_pairs_every_score_with_every_other():
    entries = made("pwcca", [1, 2, 3]), made("cka", [3, 2, 1]), made("kl", [1.0, 2.0, 4.0])
    assert [(pair.first, pair.second, pair.spearman) for pair in agreement(entries)] == [
        ("pwcca", "cka", -1.0),
        ("pwcca", "kl", 1.0),
        ("cka", "kl", -1.0),
    ]


def test_a_score_that_does_not_vary_has_no_rank_correlation():
    (pair,) = agreement((made("cka", [1, 1, 1]), made("kl", [1, 2, 4])))
    assert pair.spearman is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 2, 3), (10, 20, 30), 1.0),
        ((1, 2, 3), (3, 2, 1), -1.0),
        ((1, 1, 1), (1, 2, 3), None),
        ((1, float("nan"), 3), (1, 2, 3), None),
    ],
)
def test_spearman_of_what_cannot_be_ranked_is_none(first, second, expected):
    found = spearman(first, second)
    assert found == expected if expected is None else found == pytest.approx(expected)


def test_the_layer_that_two_metrics_place_differently_is_flagged():
    (pair,) = agreement((made("pwcca", [1, 2, 3, 4, 5]), made("cka", [10, 2, 3, 4, 5])))
    assert pair.flagged == (0,)


def test_of_two_layers_that_trade_places_neither_is_the_odd_one():
    (pair,) = agreement((made("pwcca", [1, 2, 3]), made("cka", [1, 3, 2], seed=1)))
    assert pair.flagged == (1, 2)


def test_layers_whose_order_is_open_are_not_flagged():
    (pair,) = agreement((made("pwcca", [1, 2, 3], spread=2), made("cka", [3, 2, 1], seed=1)))
    assert pair.flagged == ()


def test_without_the_flagged_layers_nothing_is_ordered_oppositely():
    first, second = made("pwcca", [1, 2, 3, 4, 5, 6]), made("cka", [4, 2, 1, 3, 6, 5], seed=1)
    (pair,) = agreement((first, second))
    kept = [layer for layer in range(6) if layer not in pair.flagged]
    for values in (first.scores.values, second.scores.values):
        assert [values[layer] for layer in kept] == sorted(values[layer] for layer in kept)
    assert 0 in pair.flagged
    assert 3 not in pair.flagged


@pytest.fixture(scope="module")
def measurement():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(REVIEWS, 1, DIM, generator=generator)
    y = torch.cat([x + a * torch.randn(REVIEWS, 1, DIM, generator=generator) for a in NOISES], 1)
    kl = torch.tensor(NOISES).double() ** 2 * (1 + torch.rand(REVIEWS, 3, generator=generator).double())
    sums = Accumulation(DIM, 3, REVIEWS)
    for part in sums.parts():
        sums.add(part, x[part], y[part], kl[part])
    batches = BatchUse(largest=40, budget=40)
    return Measurement(sums=sums.so_far(), batches=batches, stages=(), scope="propagated")


def test_scores_are_the_metrics_of_the_whole_with_intervals_around_them(measurement):
    scoring = score(measurement, ("pwcca", "cka"), Silent())
    for scores, metric in zip(scoring.scores, (pwcca, cka), strict=True):
        assert scores.metric == metric.__name__
        assert scores.ranking == (1, 2, 0)
        assert all(confidence > 0.99 for confidence in scores.rank_confidence)
        for layer, entry in enumerate(scores.layers):
            assert entry.value == metric(measurement.sums.total(layer)).distance
            assert entry.interval[0] < entry.value < entry.interval[1]
            assert 0 < entry.noise_floor < 1e-10 * entry.value
    assert [(pair.first, pair.second) for pair in scoring.agreement] == [
        ("pwcca", "cka"),
        ("pwcca", "kl"),
        ("cka", "kl"),
    ]


def test_replicates_are_the_metrics_without_a_block(measurement):
    (entry,) = estimate(measurement.sums, ("cka",), Silent())
    rest = measurement.sums.total(2).without(measurement.sums.blocks[4][2])
    assert entry.jackknife.replicates[4, 2] == pytest.approx(np.log(cka(rest).distance), rel=1e-13)


def test_scores_do_not_depend_on_the_number_of_threads(measurement):
    threads = torch.get_num_threads()
    seen = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            seen.append(score(measurement, ("pwcca", "svcca", "cka", "debiased_cka"), Silent()))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert seen[0] == seen[1]


def test_one_of_several_processes_scores_on_all_cores_whatever_torchrun_left_it(measurement, monkeypatch):
    threads = []

    def pool(count, **more):
        threads.append(count)
        return ThreadPoolExecutor(count, **more)

    monkeypatch.setattr(estimates, "ThreadPoolExecutor", pool)
    monkeypatch.setattr(estimates, "cores", lambda: list(range(5)))
    monkeypatch.setenv("RANK", "0")
    for processes, expected in ((2, 5), (1, torch.get_num_threads())):
        threads.clear()
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        estimate(measurement.sums, ("cka",), Silent())
        assert set(threads) == {expected}


def test_the_kl_has_an_interval_too(measurement):
    entry = kl_estimate(measurement.sums)
    sums = measurement.sums.kl
    assert entry.scores.values == pytest.approx(sums.sum(0) / REVIEWS)
    assert entry.jackknife.replicates[3] == pytest.approx(np.log((sums.sum(0) - sums[3]) / (REVIEWS - 40)))
    (scores,) = score(measurement, ("kl",), Silent()).scores
    assert all(layer.interval[0] < layer.value < layer.interval[1] for layer in scores.layers)


def test_metrics_come_in_the_order_asked(measurement):
    asked = ("kl", "cka", "pwcca")
    assert tuple(s.metric for s in score(measurement, asked, Silent()).scores) == asked


def test_too_few_reviews_leave_scores_without_intervals():
    sums = Accumulation(DIM, 1, 2 * DIM + 1)  # enough for PWCCA, but not without a block
    x = torch.randn(2 * DIM + 1, 1, DIM, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    for part in sums.parts():
        sums.add(part, x[part], x[part] + noise[part], torch.zeros(len(part), 0).double())
    batches = BatchUse(largest=1, budget=1)
    measured = Measurement(sums=sums.so_far(), batches=batches, stages=(), scope="isolated")
    (scores,) = score(measured, ("pwcca",), Silent()).scores
    assert scores.usable
    assert scores.layers[0].interval is None
    assert scores.layers[0].explanation == "13 reviews are few for 2 x 6 directions: reads too similar"


def test_where_the_device_has_no_memory_the_host_scores(measurement, monkeypatch):
    calls, real = [], estimates._estimates

    def first_out_of_memory(sums, *rest):
        calls.append(sums)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(sums, *rest)

    expected = estimate(measurement.sums, ("cka",), Silent())
    monkeypatch.setattr(estimates, "_estimates", first_out_of_memory)
    (found,) = estimate(measurement.sums, ("cka",), Silent())
    assert len(calls) == 2
    assert found.scores.values == expected[0].scores.values
