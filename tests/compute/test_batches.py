import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import Reviews
from tests.helpers.synthetic import PAD, sample_of

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=40)
budgets = st.integers(1, 400)


@given(lengths, budgets)
def test_every_review_is_in_one_batch(lengths, budget):
    planned = np.concatenate(sample_of(lengths).plan(budget))
    assert sorted(planned) == list(range(len(lengths)))


@given(lengths, budgets)
def test_a_batch_keeps_the_budget_or_holds_one_review(lengths, budget):
    sample = sample_of(lengths)
    for indices in sample.plan(budget):
        batch = sample.batch(indices)
        assert batch.tokens <= budget or len(indices) == 1


@given(lengths, budgets)
def test_the_longest_reviews_come_first(lengths, budget):
    planned = np.concatenate(sample_of(lengths).plan(budget))
    assert [lengths[index] for index in planned] == sorted(lengths, reverse=True)


@given(lengths, budgets)
def test_a_batch_could_not_take_the_next_review_too(lengths, budget):
    batches = sample_of(lengths).plan(budget)
    for indices in batches[:-1]:
        assert (len(indices) + 1) * lengths[indices[0]] > budget


@given(lengths, budgets)
def test_without_padding_all_reviews_of_a_batch_are_equally_long(lengths, budget):
    sample = dataclasses.replace(sample_of(lengths), padded=False)
    planned = sample.plan(budget)
    assert sorted(np.concatenate(planned)) == list(range(len(lengths)))
    for indices in planned:
        batch = sample.batch(indices)
        assert batch.attention_mask.all()
        assert batch.tokens <= budget or len(indices) == 1
    for some in (sample.head(len(lengths)), sample.take(np.arange(len(lengths)))):
        assert [batch.tolist() for batch in some.plan(budget)] == [batch.tolist() for batch in planned]


@given(lengths, st.data())
def test_a_plan_for_some_reviews_holds_those_alone(lengths, data):
    some = data.draw(st.sets(st.sampled_from(range(len(lengths))), min_size=1))
    planned = np.concatenate(sample_of(lengths).plan(100, np.array(sorted(some))))
    assert set(planned) == some


@given(lengths, budgets)
def test_reviews_are_padded_on_the_right(lengths, budget):
    sample = sample_of(lengths)
    for indices in sample.plan(budget):
        batch = sample.batch(indices)
        assert batch.input_ids.shape[1] == max(lengths[index] for index in indices)
        for index, row in zip(indices, batch.input_ids.numpy(), strict=True):
            own = sample.ids[sample.offsets[index] : sample.offsets[index + 1]]
            assert np.array_equal(row[: len(own)], own)
            assert np.all(row[len(own) :] == PAD)


@given(lengths, budgets)
def test_the_mask_shows_the_tokens(lengths, budget):
    sample = sample_of(lengths)
    for indices in sample.plan(budget):
        batch = sample.batch(indices)
        assert np.array_equal(batch.attention_mask.numpy(), batch.input_ids.numpy() != PAD)


def test_reviews_of_one_length_stay_in_their_order():
    planned = np.concatenate(sample_of([5, 6] * 500).plan(15)).tolist()
    assert planned == [*range(1, 1000, 2), *range(0, 1000, 2)]


def test_a_review_is_tokenized_as_the_tokenizer_does_it(classifier, reviews):
    some = reviews.take([0, 1, 2, 3, 4])
    sample = tokenize(some, classifier.tokenizer, 64, Silent())
    for index, text in enumerate(some.texts):
        expected = classifier.tokenizer(text, truncation=True, max_length=64)["input_ids"]
        assert sample.ids[sample.offsets[index] : sample.offsets[index + 1]].tolist() == expected
    assert sample.labels.tolist() == list(some.labels)


def test_a_batch_is_what_the_tokenizer_would_pad(classifier, reviews):
    some = Reviews(texts=("Good.", *reviews.texts[:3]), labels=(1, *reviews.labels[:3]))
    sample = tokenize(some, classifier.tokenizer, 32, Silent())
    batch = sample.batch(np.arange(4))
    expected = classifier.tokenizer(
        list(some.texts), truncation=True, max_length=32, padding=True, return_tensors="pt"
    )
    assert batch.input_ids.equal(expected["input_ids"])
    assert batch.attention_mask.equal(expected["attention_mask"])


@pytest.mark.parametrize("count", [1, 511, 512, 513])
def test_any_number_of_reviews_is_tokenized(classifier, count):
    texts = tuple("good film" + " indeed" * (index % 3) for index in range(count))
    sample = tokenize(Reviews(texts=texts, labels=(1,) * count), classifier.tokenizer, 16, Silent())
    assert len(sample) == count
    assert sample.lengths.tolist() == [4 + index % 3 for index in range(count)]


@given(lengths, st.randoms(use_true_random=False))
def test_a_part_of_the_sample_holds_its_reviews_in_the_order_asked(lengths, random):
    sample = sample_of(lengths)
    order = random.sample(range(len(lengths)), random.randint(1, len(lengths)))
    part = sample.take(np.asarray(order))
    assert part.labels.tolist() == sample.labels[order].tolist()
    for row, index in enumerate(order):
        mine, theirs = part.batch(np.asarray([row])), sample.batch(np.asarray([index]))
        assert mine.input_ids.equal(theirs.input_ids)
