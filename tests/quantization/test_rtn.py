import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.quantization import rtn
from bert_mpq.records.sizes import groups_of
from tests.helpers.quantized import stored_bits

ALL_BITS = (2, 3, 4, 6, 8)


def random_weight(seed=0, rows=8, columns=128):
    generator = torch.Generator().manual_seed(seed)
    rows_of_different_size = torch.logspace(-3, 1, rows)[:, None]
    return torch.randn(rows, columns, generator=generator) * rows_of_different_size


def steps(quantized):
    """Return the scale of every weight."""
    columns = quantized.codes.shape[1] // quantized.scale.shape[1]
    return quantized.scale.float().repeat_interleave(columns, dim=1)


weights = st.builds(random_weight, st.integers(0, 2**32 - 1))
bits_per_code = st.sampled_from(ALL_BITS)
group_sizes = st.sampled_from([None, 32, 64, 128])


def test_codes_and_scale_of_a_known_weight():
    weight = torch.tensor([[-7.5, -1.0, 0.4, 0.6, 7.5], [15.0, 0.0, -2.0, 2.9, 3.1]])
    quantized = rtn.quantize(weight, 4, None)
    assert quantized.scale.tolist() == [[1.0], [2.0]]
    assert quantized.codes.tolist() == [[-8, -1, 0, 1, 7], [7, 0, -1, 1, 2]]
    assert quantized.dequantize().tolist() == [[-8, -1, 0, 1, 7], [14, 0, -2, 2, 4]]


def test_each_group_of_inputs_has_its_own_scale():
    weight = torch.cat([torch.full((1, 32), 1.5), torch.full((1, 32), 3.0)], dim=1)
    assert rtn.quantize(weight, 2, 32).scale.tolist() == [[1.0, 2.0]]


@given(weights, bits_per_code, group_sizes)
def test_codes_stay_in_the_signed_range(weight, bits, group_size):
    codes = rtn.quantize(weight, bits, group_size).codes
    assert codes.dtype == torch.int16
    assert codes.min() >= -(2 ** (bits - 1))
    assert codes.max() <= 2 ** (bits - 1) - 1


@given(weights, bits_per_code, group_sizes)
def test_every_weight_goes_to_the_nearest_point_of_its_grid(weight, bits, group_size):
    quantized = rtn.quantize(weight, bits, group_size)
    grid = torch.arange(-(2 ** (bits - 1)), 2 ** (bits - 1)) * steps(quantized)[:, :, None]
    nearest = (grid - weight[:, :, None]).abs().amin(2)
    moved = (quantized.dequantize() - weight).abs()
    assert (moved <= nearest + steps(quantized) * 1e-4).all()


@given(weights, bits_per_code, group_sizes)
def test_no_weight_moves_by_more_than_half_a_step_and_the_rounding_of_the_scale(weight, bits, group_size):
    quantized = rtn.quantize(weight, bits, group_size)
    step = steps(quantized)
    rounding = (step * 2**-11).clamp(min=2**-25)  # of a float16, below its normal range too
    moved = (quantized.dequantize() - weight).abs()
    assert (moved <= step * 0.5001 + 2 ** (bits - 1) * rounding).all()


def test_no_weight_moves_by_more_than_half_a_step():
    weight = random_weight(rows=64)
    quantized = rtn.quantize(weight, 8, 64)
    assert ((quantized.dequantize() - weight).abs() <= steps(quantized) * 0.5001).all()


@given(weights, bits_per_code, group_sizes)
def test_the_fake_quantized_weight_is_exactly_codes_times_float16_scales(weight, bits, group_size):
    quantized = rtn.quantize(weight, bits, group_size)
    assert quantized.scale.dtype == torch.float16
    assert quantized.zero_point is None
    assert quantized.dequantize().equal(quantized.codes.float() * steps(quantized))


@given(weights, bits_per_code, group_sizes)
def test_a_quantized_weight_is_on_its_own_grid(weight, bits, group_size):
    quantized = rtn.quantize(weight, bits, group_size)
    assert torch.round(quantized.dequantize() / steps(quantized)).equal(quantized.codes.float())


@pytest.mark.parametrize("group_size", [None, 64])
def test_more_bits_are_never_worse(classifier, group_size):
    weight = classifier.model.bert.encoder.layer[3].intermediate.dense.weight
    errors = [
        (rtn.quantize(weight, bits, group_size).dequantize() - weight).square().mean() for bits in ALL_BITS
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 100 * errors[-1]


def test_smaller_groups_fit_better(classifier):
    weight = classifier.model.bert.encoder.layer[3].intermediate.dense.weight
    errors = [
        (rtn.quantize(weight, 4, size).dequantize() - weight).square().mean() for size in (None, 128, 64, 32)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_a_weight_of_zeros_stays_zero(bits):
    quantized = rtn.quantize(torch.zeros(2, 64), bits, 32)
    assert quantized.dequantize().equal(torch.zeros(2, 64))
    assert quantized.scale.equal(torch.ones(2, 2, dtype=torch.float16))


def test_weights_below_the_range_of_float16_become_zero():
    assert rtn.quantize(torch.full((1, 4), 1e-12), 4, None).dequantize().equal(torch.zeros(1, 4))


@pytest.mark.parametrize("bits", ALL_BITS)
def test_weights_too_large_for_a_float16_scale_are_refused(bits):
    with pytest.raises(ValueError, match="float16"):
        rtn.quantize(torch.tensor([[1e8, 1.0]]), bits, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        rtn.quantize(torch.tensor([[1.0, bad]]), 4, None)


def test_the_weight_itself_is_left_alone():
    weight = random_weight()
    before = weight.clone()
    rtn.quantize(weight, 2, 32)
    assert weight.equal(before)


@pytest.mark.parametrize(
    ("inputs", "group_size", "groups"), [(128, 64, 2), (128, None, 1), (100, 64, 1), (32, 64, 1), (64, 64, 1)]
)
def test_a_group_size_that_does_not_fit_means_the_whole_channel(inputs, group_size, groups):
    assert groups_of(inputs, group_size) == groups
    assert rtn.quantize(torch.ones(3, inputs), 4, group_size).scale.shape == (3, groups)


@pytest.mark.parametrize(
    ("bits", "group_size", "stored"),
    [
        (4, 64, 8 * 128 * 4 + 8 * 2 * 16),
        (4, None, 8 * 128 * 4 + 8 * 16),
        (2, 32, 8 * 128 * 2 + 8 * 4 * 16),
        (3, 128, 8 * 128 * 3 + 8 * 16),
    ],
)
def test_storage_is_codes_and_float16_scales(bits, group_size, stored):
    assert stored_bits(rtn.quantize(random_weight(), bits, group_size)) == stored
