"""Stopping early: never with another allocation than the whole sample would give."""

from itertools import pairwise

import numpy as np
import pytest

from bert_mpq.allocation.clustering import allocate
from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.sensitivity import LayerScore, Scores
from bert_mpq.sensitivity.estimates import Estimate, estimate
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.stability import Stability
from bert_mpq.settings.config import RunConfig
from bert_mpq.similarity.jackknife import Jackknife
from bert_mpq.sources.sampling import sample
from tests.helpers.workloads import on_cpu


def rule(metric="cka", bits=(16, 8, 4), clustering="kmeans", protect_last=0):
    config = RunConfig(metrics=(metric,), clustering=clustering, bits=bits, protect_last=protect_last)
    return Stability(config=config)


def of_means(rows):
    """The estimate of the mean of each column, from ten blocks of rows."""
    blocks = np.array([rows[b::10].sum(0) for b in range(10)])
    counts = np.array([len(rows[b::10]) for b in range(10)])[:, None]
    whole, rest = rows.mean(0), (rows.sum(0) - blocks) / (len(rows) - counts)
    layers = tuple(LayerScore(value=value) for value in whole.tolist())
    return Estimate(scores=Scores(metric="kl", layers=layers), jackknife=Jackknife.from_scores(whole, rest))


def test_the_embedded_classifier_gets_the_allocation_of_the_full_set_from_a_part(classifier, imdb):
    reviews = sample(imdb["calibration"], 450, "stratified", seed=0)
    tokens = tokenize(reviews, classifier.tokenizer, 8, Silent())
    probe = Probe(scope="propagated", pooling="mean", bits=(4,), quantizer="rtn", group_size=64)
    stability = rule(bits=(8, 4), clustering="percentile")  # cut where the scores fall by a third
    early = measure(classifier, on_cpu(tokens, 2048), probe, Silent(), stability=stability)
    full = measure(classifier, on_cpu(tokens, 2048), probe, Silent(), blocks=1)
    (part,), (whole,) = (estimate(m.sums, ("cka",), Silent(), replicates=False) for m in (early, full))
    assert early.stopping.used in stability.looks(450, 384)
    assert early.stopping.used < early.stopping.available == 450
    assert early.stopping.confidence >= 0.95
    assert full.stopping is None
    assert (
        allocate(part.scores.values, (8, 4), "percentile").bits
        == allocate(whole.scores.values, (8, 4), "percentile").bits
    )


def test_stops_are_right_as_often_as_they_claim():
    rng = np.random.default_rng(0)
    right, stops = 0, 0
    for _ in range(60):
        scale = rng.lognormal(0.0, 1.0, 6)
        rows = scale * rng.lognormal(0.0, 1.0, (1000, 6))
        for part in (200, 300, 450, 675):
            entry = of_means(rows[:part])
            if rule().allocation_confidence(entry, part / len(rows)) >= 0.95:
                stops += 1
                same = allocate(entry.scores.values, (16, 8, 4), "kmeans").bits
                right += same == allocate(rows.mean(0).tolist(), (16, 8, 4), "kmeans").bits
                break
    assert 15 < stops < 60  # some samples are clear, others are not
    assert right >= 0.9 * stops


def test_scores_far_apart_are_certain_and_scores_on_a_cut_are_not():
    rng = np.random.default_rng(1)
    noise = rng.lognormal(0.0, 0.5, (500, 4))
    clear = of_means(noise * [1.0, 1.1, 10.0, 100.0])
    even = of_means(noise[:, :3] * [1.0, 1.5, 2.0])
    assert rule().allocation_confidence(clear, 0.1) > 0.99
    assert rule(bits=(8, 4)).allocation_confidence(even, 0.1) < 0.9


def test_nothing_can_change_when_all_reviews_are_in():
    rows = np.random.default_rng(2).lognormal(0.0, 1.0, (100, 6))
    assert rule().allocation_confidence(of_means(rows), 1.0) == 1.0


def test_the_same_state_gives_the_same_answer():
    rows = np.random.default_rng(3).lognormal(0.0, 1.0, (100, 6))
    first, second = (rule().allocation_confidence(of_means(rows), 0.2) for _ in range(2))
    assert first == second


def test_what_protects_layers_makes_their_order_irrelevant():
    rows = np.random.default_rng(4).lognormal(0.0, 1.0, (200, 3)) * [1.0, 1.01, 1.02]
    entry = of_means(rows)
    assert rule(bits=(16, 16)).allocation_confidence(entry, 0.1) == 1.0
    assert rule(bits=(8, 4), protect_last=3).allocation_confidence(entry, 0.1) == 1.0
    assert rule(bits=(8, 4)).allocation_confidence(entry, 0.1) < 0.9


@pytest.mark.parametrize("broken", [np.nan, 0.0])
def test_without_a_score_for_every_layer_nothing_is_certain(broken):
    rows = np.random.default_rng(5).lognormal(0.0, 1.0, (100, 4))
    rows[:, 2] = broken
    assert rule().allocation_confidence(of_means(rows), 0.5) == 0.0


def test_scores_that_cannot_be_grouped_are_never_certain():
    rows = np.random.default_rng(6).lognormal(0.0, 1.0, (100, 1)).repeat(4, 1)
    assert rule().allocation_confidence(of_means(rows), 0.5) == 0.0


def test_the_first_look_leaves_every_replicate_enough_reviews_for_pwcca():
    looks = rule("pwcca").looks(10_000, hidden=384)
    assert 0.9 * looks[0] >= 2 * 384 + 1
    assert looks[-1] == 10_000
    assert all(a < b <= 1.51 * a for a, b in pairwise(looks))


def test_a_small_sample_is_looked_at_once():
    assert rule().looks(50, hidden=384) == [50]
