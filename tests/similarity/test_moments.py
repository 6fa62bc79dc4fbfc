"""The accumulator: the same answer however the rows arrive, and a state that does not grow."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_mpq.similarity import cka
from bert_mpq.similarity.cca import pwcca
from bert_mpq.similarity.moments import Moments
from tests.helpers.representations import METRICS, accumulate, pair, pairs, relative_error

quick = settings(max_examples=40, deadline=None)


def assert_same_distances(actual, expected, tolerance=1e-10):
    for metric in METRICS:
        error = relative_error(metric(actual).distance, metric(expected).distance)
        assert error < tolerance, metric.__name__


def state(moments):
    """Every number that the metrics see, in one vector."""
    c = moments.covariances()
    return np.concatenate([c.xx.ravel(), c.xe.ravel(), c.ee.ravel(), [c.samples, c.aa, c.ad, c.dd]])


@st.composite
def parts(draw, count):
    """Accumulators of one pair's rows that share a shift, and one that has seen them all."""
    x, y = draw(pairs())
    cuts = sorted(draw(st.lists(st.integers(0, len(x)), min_size=count - 1, max_size=count - 1)))
    whole = accumulate(x, y)
    pieces = [
        accumulate(*rows, shift=whole.shift)
        for rows in zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    ]
    return pieces, whole


def merged(*pieces):
    total = pieces[0].sibling()
    for piece in pieces:
        total.merge(piece)
    return total


@quick
@given(data=pairs(), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_the_partition_into_batches_does_not_matter(data, cuts):
    x, y = data
    cuts = sorted(min(cut, len(x)) for cut in cuts)
    assert_same_distances(accumulate(x, y, cuts), accumulate(x, y))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_batch_size_does_not_matter(size):
    x, y = pair(256, 24)
    assert_same_distances(accumulate(x, y, range(size, 256, size)), accumulate(x, y))


@quick
@given(data=pairs(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(data, seed):
    x, y = data
    order = np.random.default_rng(seed).permutation(len(x))
    assert_same_distances(accumulate(x[order], y[order]), accumulate(x, y))


@quick
@given(data=pairs(), shift=st.floats(-3, 3))
def test_the_shift_does_not_matter(data, shift):
    x, y = data
    assert_same_distances(accumulate(x, y, shift=np.full(x.shape[1], shift)), accumulate(x, y))


def test_the_pairing_of_the_rows_matters():
    x, y = pair()
    assert cka(accumulate(x, y[::-1].copy())).distance > 2 * cka(accumulate(x, y)).distance


@quick
@given(data=parts(3))
def test_merging_parts_gives_the_whole(data):
    pieces, whole = data
    assert_same_distances(merged(*pieces), whole)


@quick
@given(data=parts(2))
def test_merge_is_commutative_to_the_last_bit(data):
    (a, b), _ = data
    assert (state(merged(a, b)) == state(merged(b, a))).all()


@quick
@given(data=parts(3))
def test_merge_is_associative(data):
    (a, b, c), _ = data
    left, right = state(merged(merged(a, b), c)), state(merged(a, merged(b, c)))
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12 * np.abs(left).max())


def test_merge_leaves_the_other_side_alone():
    x, y = pair()
    a, b = (accumulate(x, y, shift=np.zeros(8)) for _ in range(2))
    before = state(b)
    a.merge(b)
    a.update(x, y)
    assert (state(b) == before).all()


def test_merge_into_a_new_accumulator_copies():
    filled = accumulate(*pair())
    empty = Moments(8)
    empty.merge(filled)
    assert (state(empty) == state(filled)).all()


def test_merging_an_accumulator_without_rows_changes_nothing():
    filled = accumulate(*pair())
    before = state(filled)
    filled.merge(Moments(8))
    filled.merge(filled.sibling())
    assert (state(filled) == before).all()


def test_merge_refuses_another_shift():
    x, y = pair()
    with pytest.raises(ValueError, match="different shifts"):
        accumulate(x, y).merge(accumulate(x + 1, y))


def test_merge_refuses_another_dim():
    with pytest.raises(ValueError, match="9 features into 8"):
        Moments(8).merge(Moments(9))


def test_a_sibling_is_empty_and_has_the_same_shift():
    moments = accumulate(*pair())
    sibling = moments.sibling()
    assert sibling.samples == 0
    assert torch.equal(sibling.shift, moments.shift)


def test_the_shift_is_the_mean_of_the_first_batch():
    x, y = pair()
    moments = accumulate(x, y, [100])
    np.testing.assert_allclose(moments.shift, x[:100].mean(0), rtol=1e-12)


def test_samples_counts_the_rows():
    assert accumulate(*pair(rows=33), chunks=5).samples == 33


def test_the_state_of_a_bert_base_layer_takes_14_megabytes():
    assert Moments(768).nbytes == pytest.approx(14.2e6, rel=1e-3)


def test_the_state_does_not_grow_with_the_rows():
    moments = accumulate(*pair(dim=16))
    before = moments.nbytes
    moments.update(*pair(rows=3000, dim=16))
    assert moments.nbytes == before == Moments(16).nbytes


def test_an_empty_batch_changes_nothing():
    moments = accumulate(*pair())
    before = state(moments)
    moments.update(np.empty((0, 8)), np.empty((0, 8)))
    assert (state(moments) == before).all()


def test_an_empty_first_batch_does_not_fix_the_shift():
    x, y = pair()
    assert torch.equal(accumulate(x, y, [0]).shift, accumulate(x, y).shift)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_floats_are_widened_before_any_arithmetic(dtype):
    x, y = (side.astype(dtype) for side in pair())
    wide = accumulate(x.astype(np.float64), y.astype(np.float64))
    assert (state(accumulate(x, y)) == state(wide)).all()


def test_bfloat16_tensors_are_taken():
    x, y = (torch.from_numpy(side).bfloat16() for side in pair())
    narrow, wide = Moments(8), Moments(8)
    narrow.update(x, y)
    wide.update(x.double(), y.double())
    assert (state(narrow) == state(wide)).all()


def test_torch_and_numpy_give_the_same_state():
    x, y = pair()
    moments = Moments(8)
    moments.update(torch.from_numpy(x), y)
    assert (state(moments) == state(accumulate(x, y))).all()


def test_tensors_that_require_grad_are_taken():
    x, y = (torch.from_numpy(side).requires_grad_() for side in pair())
    moments = Moments(8)
    moments.update(x, y)
    assert (state(moments) == state(accumulate(*pair()))).all()


def test_update_leaves_its_arguments_alone():
    x, y = pair()
    before = x.copy(), y.copy()
    accumulate(x, y)
    assert (x == before[0]).all()
    assert (y == before[1]).all()


@pytest.mark.parametrize(
    ("x_shape", "y_shape"), [((5, 8), (4, 8)), ((5, 7), (5, 7)), ((8,), (8,)), ((2, 5, 8), (2, 5, 8))]
)
def test_update_refuses_shapes_that_do_not_fit(x_shape, y_shape):
    with pytest.raises(ValueError, match="expected two"):
        Moments(8).update(np.zeros(x_shape), np.zeros(y_shape))


def test_a_metric_takes_covariances_as_well_as_moments():
    moments = accumulate(*pair())
    assert pwcca(moments.covariances()) == pwcca(moments)
