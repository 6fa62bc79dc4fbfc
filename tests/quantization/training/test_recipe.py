import dataclasses

import numpy as np
import pytest

from bert_mpq.quantization.training.recipe import Recipe, make_order

LENGTHS = np.random.default_rng(0).integers(5, 257, 1_003)
RECIPE = Recipe(epochs=3, batch_size=16)


def test_every_review_is_trained_on_once_an_epoch_and_none_of_the_slice():
    order = make_order(LENGTHS, RECIPE)
    for epoch in range(3):
        seen = np.concatenate(order.epoch(epoch))
        assert sorted(seen) == list(order.training)
    assert len(order.validation) == 100
    assert not set(order.validation) & set(order.training)
    assert len(order.validation) + len(order.training) == len(LENGTHS)


def test_the_order_depends_on_seed_and_epoch_alone():
    order, again = make_order(LENGTHS, RECIPE), make_order(LENGTHS, RECIPE)
    assert all(map(np.array_equal, order.epoch(1), again.epoch(1)))
    assert not np.array_equal(np.concatenate(order.epoch(0)), np.concatenate(order.epoch(1)))
    other = make_order(LENGTHS, dataclasses.replace(RECIPE, seed=1))
    assert not np.array_equal(order.validation, other.validation)


def test_more_epochs_keep_the_validation_slice():
    longer = make_order(LENGTHS, dataclasses.replace(RECIPE, epochs=1))
    assert np.array_equal(longer.validation, make_order(LENGTHS, RECIPE).validation)


def test_batches_of_similar_length_waste_little_padding():
    order = make_order(LENGTHS, RECIPE)
    batches = order.epoch(0)
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert padded < 1.06 * LENGTHS[order.training].sum()
    means = [LENGTHS[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5  # in no order of length


def test_the_slice_is_a_share_of_the_sample_up_to_a_limit():
    most = dataclasses.replace(RECIPE, validation_most=40)
    assert len(make_order(LENGTHS, most).validation) == 40
    assert len(make_order(LENGTHS[:3], RECIPE).validation) == 1


@pytest.mark.parametrize(("checks", "steps"), [(4, {14, 28, 42, 57}), (1, {57}), (2, {28, 57})])
def test_checks_are_spread_over_the_epoch_and_the_last_is_at_its_end(checks, steps):
    order = make_order(LENGTHS, dataclasses.replace(RECIPE, epochs=1, checks=checks))
    assert order.steps == 57
    assert order.check_after() == steps


def test_an_epoch_of_fewer_steps_than_checks_is_checked_after_every_step():
    order = make_order(LENGTHS[:30], dataclasses.replace(RECIPE, epochs=2))
    assert order.steps_per_epoch == 2
    assert order.check_after() == {1, 2, 3, 4}
