"""Reviews that need not fit into memory: texts stay in the Arrow file, many token ids in one of their own."""

import errno
import itertools
import os

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import ROWS, Reviews, StoredTexts
from bert_mpq.compute.token_store import TokenStore
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.halves import half
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample

COUNT = 3 * ROWS + 7


class Table:
    """A table that remembers how many rows were read at once."""

    def __init__(self, texts):
        self.texts, self.largest = texts, 0

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, rows):
        self.largest = max(self.largest, len(rows))
        return {"text": [self.texts[row] for row in rows]}


@pytest.fixture
def table():
    return Table([f"review {number % 1000}" for number in range(COUNT)])


def test_stored_texts_are_a_sequence_like_any_other(table):
    stored = StoredTexts(table)
    assert len(stored) == COUNT
    assert list(stored) == table.texts
    assert [stored[0], stored[-1], stored[5]] == ["review 0", table.texts[-1], "review 5"]
    assert stored[3:9] == table.texts[3:9]
    assert stored[COUNT:] == []
    with pytest.raises(IndexError):
        stored[COUNT]


def test_a_choice_of_stored_texts_keeps_its_order(table):
    order = np.random.default_rng(0).permutation(COUNT)
    chosen = StoredTexts(table).take(order).take([3, 1])
    assert list(chosen) == [table.texts[order[3]], table.texts[order[1]]]


def test_no_step_of_a_run_reads_more_than_a_few_hundred_texts_at_once(table, classifier):
    labels = tuple(number % 2 for number in range(COUNT))
    stored = Reviews(texts=StoredTexts(table), labels=labels)
    drawn = sample(half(stored, "calibration"), 300, "stratified", 1)
    tokens = tokenize(drawn, classifier.tokenizer, 8, Silent())
    assert table.largest <= ROWS
    in_memory = sample(
        half(Reviews(texts=tuple(table.texts), labels=labels), "calibration"), 300, "stratified", 1
    )
    assert (drawn.fingerprint, drawn.labels) == (in_memory.fingerprint, in_memory.labels)
    assert np.array_equal(tokens.ids, tokenize(in_memory, classifier.tokenizer, 8, Silent()).ids)


def test_the_texts_of_a_local_file_stay_on_disk(tmp_path):
    rows = {"text": [f"Review {number}" for number in range(40)], "label": [0, 1] * 20}
    Dataset.from_dict(rows).to_parquet(tmp_path / "reviews.parquet")
    reviews = load_reviews(find_reviews(str(tmp_path / "reviews.parquet")), "calibration")
    assert isinstance(reviews.texts, StoredTexts)
    assert set(reviews.texts) < set(rows["text"])


@given(
    groups=st.lists(st.lists(st.lists(st.integers(0, 30_000), max_size=6), max_size=4), max_size=6),
    most=st.integers(0, 20),
)
def test_token_ids_are_the_same_in_memory_and_in_a_file(groups, most):
    store = TokenStore(most_in_memory=most)
    for group in groups:
        store.add([np.array(review, np.int32) for review in group])
    reviews = [review for group in groups for review in group]
    ids, offsets = store.ids(), store.offsets()
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == reviews
    assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)


def test_many_token_ids_are_in_a_file_that_is_gone_with_them(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = TokenStore(most_in_memory=10)
    for number in range(5):
        store.add([np.full(6, number, np.int32)])
    assert isinstance(store.ids(), np.memmap)
    assert list(tmp_path.iterdir()) == []  # without a name from the start: a killed run leaves nothing


def test_a_full_disk_says_so(monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(MpqError) as refused:
        TokenStore(most_in_memory=0).add([np.ones(3, np.int32)])
    assert refused.value.code == "E-DISK"
