"""Scores to groups to bits."""

import random
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering, KMeans

from bert_mpq.allocation.clustering import allocate, group_layers
from bert_mpq.settings.errors import MpqError, UsageError

# 1 - PWCCA per encoder layer as published with the script this tool replaces.
PUBLISHED = (
    0.02447857149138899,
    0.021584802436461548,
    0.019146059356776157,
    0.016481953269480876,
    0.014727912950320499,
    0.014347277680091142,
    0.014593175583667684,
    0.015239110902572128,
    0.017558012027321435,
    0.02294768313098372,
    0.029273760108303737,
    0.04009915084191684,
)
METHODS = ("kmeans", "percentile", "hierarchical")

every_method = pytest.mark.parametrize("method", METHODS)
quick = settings(max_examples=60, deadline=None)
# Few decimals, so that scores are often equal.
score_lists = st.lists(st.integers(0, 50).map(lambda i: i / 1000), min_size=1, max_size=12)


def inertia(scores, groups):
    """Sum of squared distances to the group means."""
    members = [[s for s, g in zip(scores, groups, strict=True) if g == group] for group in set(groups)]
    return sum(float(np.var(group)) * len(group) for group in members)


def smallest_inertia(scores, count):
    """The least inertia of all cuts of the sorted scores into ``count`` intervals."""
    ordered = sorted(scores)
    cuts = combinations(range(1, len(ordered)), count - 1)
    return min(
        sum(float(np.var(ordered[i:j])) * (j - i) for i, j in pairwise([0, *cut, len(ordered)]))
        for cut in cuts
    )


def partition(labels):
    """Groups as sets of layers, whatever the groups are called."""
    return {frozenset(i for i, label in enumerate(labels) if label == group) for group in set(labels)}


@st.composite
def scores_and_count(draw):
    scores = draw(score_lists)
    return scores, draw(st.integers(1, min(5, len(set(scores)))))


def try_groups(scores, count, method):
    """The groups; a draw that percentiles cannot cut into ``count`` groups is thrown away."""
    try:
        return group_layers(scores, count, method)
    except MpqError:
        assume(method != "percentile")
        raise


def test_kmeans_gives_layer_11_of_the_published_scores_the_most_bits():
    allocation = allocate(PUBLISHED, (32, 16, 8), "kmeans")
    assert allocation.bits == (16, 16, 8, 8, 8, 8, 8, 8, 8, 16, 16, 32)


def test_hierarchical_groups_of_the_published_scores():
    groups = group_layers(PUBLISHED, 3, "hierarchical")
    assert partition(groups) == {frozenset({11}), frozenset({0, 1, 9, 10}), frozenset({2, 3, 4, 5, 6, 7, 8})}


def test_percentile_groups_of_12_distinct_scores_are_of_equal_size():
    assert group_layers(PUBLISHED, 3, "percentile") == (0, 1, 1, 1, 2, 2, 2, 2, 1, 0, 0, 0)


def test_percentiles_cut_at_interpolated_quantiles():
    # The quantile 1/2 of 0, 1, 4, 9 is 2.5; that of 0, 1, 2, 9, 10 is the score 2 itself, which stays below.
    assert group_layers([0, 1, 4, 9], 2, "percentile") == (1, 1, 0, 0)
    assert group_layers([0, 1, 2, 9, 10], 2, "percentile") == (1, 1, 1, 0, 0)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=25, unique=True), st.integers(2, 5))
def test_percentile_edges_are_those_of_exact_arithmetic(numerators, count):
    scores = [numerator / 999_983 for numerator in numerators]
    ordered = [Fraction(score) for score in sorted(scores)]
    edges = []
    for k in range(1, count):
        below, share = divmod(Fraction((len(ordered) - 1) * k, count), 1)
        above = min(int(below) + 1, len(ordered) - 1)
        edges.append(ordered[int(below)] + share * (ordered[above] - ordered[int(below)]))
    groups = [count - 1 - sum(score > edge for edge in edges) for score in scores]
    assume(len(set(groups)) == count)
    assert group_layers(scores, count, "percentile") == tuple(groups)


def test_a_score_that_is_a_percentile_stays_below_it():
    # (3 x) / 3 is not x here, as statistics.quantiles computes it.
    edge = 0.005209384176131452
    assert (3 * edge) / 3 != edge
    assert group_layers([0.001, 0.002, edge, 0.5], 3, "percentile") == (2, 2, 1, 0)


@quick
@given(data=scores_and_count())
def test_kmeans_finds_the_least_inertia_of_all_cuts(data):
    scores, count = data
    best = smallest_inertia(scores, count)
    assert inertia(scores, group_layers(scores, count, "kmeans")) == pytest.approx(best, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize("seed", range(8))
def test_kmeans_is_never_worse_than_random_restarts(seed):
    rng = np.random.default_rng(seed)
    scores, count = rng.lognormal(-4, 1, 24), 2 + seed % 4
    restarts = KMeans(count, n_init=20, random_state=seed).fit(scores[:, None])
    assert inertia(scores, group_layers(scores.tolist(), count, "kmeans")) <= restarts.inertia_ * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_hierarchical_groups_are_those_of_wards_linkage(seed):
    rng = np.random.default_rng(seed)
    scores, count = rng.uniform(0, 0.1, 24), 2 + seed % 7
    ward = AgglomerativeClustering(count, linkage="ward").fit(scores[:, None])
    assert partition(group_layers(scores.tolist(), count, "hierarchical")) == partition(ward.labels_)


@every_method
@quick
@given(data=scores_and_count())
def test_a_more_sensitive_layer_is_never_in_a_less_sensitive_group(method, data):
    scores, count = data
    groups = try_groups(scores, count, method)
    by_score = [group for _, group in sorted(zip(scores, groups, strict=True), key=lambda pair: -pair[0])]
    assert by_score == sorted(groups)


@every_method
@quick
@given(data=scores_and_count())
def test_every_group_has_a_layer(method, data):
    scores, count = data
    assert set(try_groups(scores, count, method)) == set(range(count))


@every_method
@quick
@given(data=scores_and_count())
def test_equal_scores_share_a_group(method, data):
    scores, count = data
    groups = try_groups(scores, count, method)
    assert len(set(zip(scores, groups, strict=True))) == len(set(scores))


@every_method
@quick
@given(data=scores_and_count(), seed=st.integers())
def test_the_order_of_the_layers_does_not_matter(method, data, seed):
    scores, count = data
    groups = try_groups(scores, count, method)
    order = random.Random(seed).sample(range(len(scores)), len(scores))
    assert group_layers([scores[i] for i in order], count, method) == tuple(groups[i] for i in order)


@every_method
@quick
@given(data=scores_and_count(), power=st.integers(-40, 40))
def test_the_unit_of_the_scores_does_not_matter(method, data, power):
    scores, count = data
    groups = try_groups(scores, count, method)
    assert group_layers([score * 2.0**power for score in scores], count, method) == groups


@every_method
def test_as_many_groups_as_layers_puts_each_in_its_own(method):
    assert group_layers([0.3, 0.1, 0.4, 0.2], 4, method) == (1, 3, 0, 2)


@every_method
def test_one_group_takes_every_layer(method):
    assert allocate(PUBLISHED, (8,), method).bits == (8,) * 12


@every_method
def test_too_few_distinct_scores_are_refused(method):
    with pytest.raises(MpqError, match="3 groups, but only 2 distinct scores") as refused:
        group_layers([0.1, 0.2, 0.1, 0.2], 3, method)
    assert refused.value.code == "E-GROUPS"
    assert refused.value.hint == "Choose at most 2."


def test_percentiles_that_fall_together_are_refused():
    with pytest.raises(MpqError, match="fall into 2 percentile groups, not 3") as refused:
        group_layers([0, 0, 0, 0, 0, 1, 2], 3, "percentile")
    assert refused.value.code == "E-GROUPS"


def test_an_allocation_says_how_it_came_about():
    allocation = allocate([0.3, 0.1, 0.2], (16, 8, 4), "kmeans")
    assert (allocation.method, allocation.group_bits) == ("kmeans", (16, 8, 4))
    assert (allocation.groups, allocation.bits) == ((0, 2, 1), (16, 4, 8))
    assert allocation.protected == ()


def test_protect_last_lifts_the_last_layers_to_16_bits():
    allocation = allocate([0.4, 0.3, 0.2, 0.1], (16, 8, 4), "kmeans", protect_last=2)
    assert allocation.bits[2:] == (16, 16)
    assert allocation.protected == (2, 3)


def test_protect_last_leaves_the_other_layers_alone():
    plain = allocate(PUBLISHED, (32, 16, 8), "kmeans")
    assert allocate(PUBLISHED, (32, 16, 8), "kmeans", protect_last=4).bits[:8] == plain.bits[:8]


def test_protect_last_lowers_no_layer_and_names_only_those_it_lifted():
    allocation = allocate(PUBLISHED, (32, 16, 8), "kmeans", protect_last=4)
    assert allocation.bits[8:] == (16, 16, 16, 32)
    assert allocation.protected == (8,)


def test_protect_last_may_exceed_the_number_of_layers():
    assert allocate([0.1, 0.2], (8, 4), "kmeans", protect_last=5).bits == (16, 16)


@pytest.mark.parametrize(
    ("bits", "code"), [((), "E-BITS-COUNT"), ((16, 5, 4), "E-BITS-VALUE"), ((4, 8, 16), "E-BITS-ORDER")]
)
def test_bits_that_no_run_can_have_are_refused(bits, code):
    with pytest.raises(UsageError) as refused:
        allocate(PUBLISHED, bits, "kmeans")
    assert refused.value.code == code
