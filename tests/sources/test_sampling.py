from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.sampling import check_size, sample


def made_up(negative, positive):
    """Reviews sorted by label, as IMDB is."""
    labels = (0,) * negative + (1,) * positive
    return Reviews(texts=tuple(f"review {index}" for index in range(len(labels))), labels=labels)


@pytest.mark.parametrize("sampling", ["stratified", "random"])
def test_the_same_seed_draws_the_same_sample(imdb, sampling):
    first, again, other = (sample(imdb["calibration"], 100, sampling, seed) for seed in (1, 1, 2))
    assert first == again
    assert set(first.texts) != set(other.texts)


@pytest.mark.parametrize("sampling", ["stratified", "random"])
def test_reviews_keep_their_labels(imdb, sampling):
    label = dict(zip(imdb["calibration"].texts, imdb["calibration"].labels, strict=True))
    drawn = sample(imdb["calibration"], 200, sampling, 3)
    assert all(label[text] == given for text, given in zip(drawn.texts, drawn.labels, strict=True))


@given(
    negative=st.integers(1, 30),
    positive=st.integers(1, 30),
    size=st.integers(2, 60),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_stratified_sample_is_as_even_as_the_classes_allow(negative, positive, size, seed):
    assume(size <= negative + positive)
    drawn = sample(made_up(negative, positive), size, "stratified", seed)
    counts = Counter(drawn.labels)
    assert len(set(drawn.texts)) == len(drawn) == size
    rarer = min((0, 1), key=lambda label: counts[label])
    assert abs(counts[0] - counts[1]) <= 1 or counts[rarer] == (negative, positive)[rarer]


@given(size=st.integers(21, 40), seed=st.integers(0, 2**32 - 1))
def test_a_random_sample_draws_distinct_reviews(size, seed):
    drawn = sample(made_up(20, 20), size, "random", seed)
    assert len(set(drawn.texts)) == len(drawn) == size


def test_a_random_sample_leaves_the_classes_to_chance(imdb):
    positive = sum(sample(imdb["calibration"], 1000, "random", 0).labels)
    assert 400 < positive < 600
    assert positive != 500


def test_a_sample_is_not_in_the_order_of_the_labels():
    labels = sample(made_up(50, 50), None, "stratified", 0).labels
    assert labels != tuple(sorted(labels))


def test_no_size_means_the_whole_split():
    whole = sample(made_up(3, 9), None, "stratified", 0)
    assert Counter(whole.labels) == {0: 3, 1: 9}


def test_more_reviews_than_there_are_is_refused(imdb):
    with pytest.raises(MpqError) as refused:
        sample(imdb["calibration"], 25_000, "random", 0)
    assert refused.value.code == "E-DATA-SIZE"
    assert refused.value.title == "25,000 asked, but the split has 12,450 reviews."
    assert refused.value.hint == "Choose 12,450 or fewer."


def test_as_many_reviews_as_there_are_is_allowed():
    assert check_size(12_450, 12_450) == 12_450
    assert check_size(None, 12_450) == 12_450


@pytest.mark.parametrize("sampling", ["stratified", "random"])
@pytest.mark.parametrize(("reviews", "only"), [(made_up(5, 0), "negative"), (made_up(0, 5), "positive")])
def test_a_split_of_one_class_is_refused(reviews, only, sampling):
    with pytest.raises(MpqError, match=f"The split holds only {only} reviews") as refused:
        sample(reviews, 4, sampling, 0)
    assert refused.value.code == "E-ONE-CLASS"


def test_one_review_cannot_be_of_both_classes():
    with pytest.raises(MpqError) as refused:
        sample(made_up(5, 5), 1, "stratified", 0)
    assert refused.value.code == "E-ONE-CLASS"


def test_a_half_without_reviews_is_refused():
    with pytest.raises(MpqError):
        sample(made_up(0, 0), None, "stratified", 0)
