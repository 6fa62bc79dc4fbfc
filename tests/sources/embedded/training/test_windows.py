import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.compute.batches import TokenizedReviews, shuffled_batches
from bert_mpq.sources.embedded.training.fitting import cut_windows

FIRST, LAST = 101, 102


def reviews(*inner: int) -> TokenizedReviews:
    """Review k holds the tokens 1000 k, 1000 k + 1, ... between the two special ones."""
    rows = [np.array([FIRST, *range(1000 * k, 1000 * k + n), LAST]) for k, n in enumerate(inner, start=1)]
    return TokenizedReviews(
        ids=np.concatenate(rows).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]),
        labels=np.arange(len(rows)) % 2,
        pad_id=0,
        fingerprint="0" * 64,
    )


def rows(tokens: TokenizedReviews) -> list[list[int]]:
    return [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(3, 30), st.integers(0, 2**32 - 1))
def test_a_window_is_a_run_of_its_review_between_the_special_tokens(inner, length, seed):
    whole = reviews(*inner)
    windows = cut_windows(whole, length, 0.0, np.random.default_rng(seed))
    assert windows.lengths.tolist() == [min(n + 2, length) for n in inner]
    for k, (row, n) in enumerate(zip(rows(windows), inner, strict=True), start=1):
        assert (row[0], row[-1]) == (FIRST, LAST)
        assert row[1:-1] == list(range(row[1], row[1] + len(row) - 2))
        assert 1000 * k <= row[1] <= row[-2] < 1000 * k + n
    assert whole.ids.tolist() == reviews(*inner).ids.tolist()


def test_the_head_is_what_truncation_leaves():
    windows = cut_windows(reviews(5, 2), 5, 1.0, np.random.default_rng(0))
    assert rows(windows) == [[FIRST, 1000, 1001, 1002, LAST], [FIRST, 2000, 2001, LAST]]


def test_every_start_is_drawn_equally_often():
    rng = np.random.default_rng(0)
    starts = [cut_windows(reviews(5), 5, 0.0, rng).ids[1] - 1000 for _ in range(3000)]
    assert np.all(np.abs(np.bincount(starts, minlength=3) - 1000) < 100)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_batches_hold_every_window_once(lengths, size, seed):
    batches = shuffled_batches(np.array(lengths), size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)


def test_batches_pad_little_and_follow_no_order():
    rng = np.random.default_rng(1)
    lengths = rng.integers(10, 256, 4000)
    batches = shuffled_batches(lengths, 16, rng)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.06 * lengths.sum()
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2
