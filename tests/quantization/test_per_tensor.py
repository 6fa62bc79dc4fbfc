import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.quantization import per_tensor, rtn
from tests.helpers.quantized import stored_bits

ALL_BITS = (2, 3, 4, 6, 8)

finite = st.floats(-1000, 1000, width=32)
weights = st.lists(finite, min_size=1, max_size=24).map(lambda values: torch.tensor([values]))


def test_codes_scale_and_zero_point_of_a_known_weight():
    quantized = per_tensor.quantize(torch.tensor([[-1.0, 0.0], [1.2, 2.0]]), 2, None)
    assert (quantized.scale.tolist(), quantized.zero_point.tolist()) == ([[1.0]], [[1]])
    assert quantized.codes.tolist() == [[0, 1], [2, 3]]
    assert quantized.dequantize().tolist() == [[-1, 0], [1, 2]]


@pytest.mark.parametrize(
    ("weight", "codes", "zero_point"), [([1.0, 3.0], [1, 3], 0), ([-3.0, -1.0], [0, 2], 3)]
)
def test_the_grid_includes_zero_even_if_no_weight_is_near(weight, codes, zero_point):
    quantized = per_tensor.quantize(torch.tensor([weight]), 2, None)
    assert quantized.codes.tolist() == [codes]
    assert quantized.zero_point.item() == zero_point
    assert quantized.dequantize().tolist() == [weight]


@given(weights, st.sampled_from(ALL_BITS))
def test_codes_and_zero_point_stay_in_the_unsigned_range(weight, bits):
    quantized = per_tensor.quantize(weight, bits, None)
    for codes in (quantized.codes, quantized.zero_point):
        assert codes.min() >= 0
        assert codes.max() <= 2**bits - 1


@given(weights, st.sampled_from(ALL_BITS))
def test_no_weight_moves_by_more_than_one_step(weight, bits):
    # Half a step for the weight, half a step for the zero point.
    quantized = per_tensor.quantize(weight, bits, None)
    moved = (quantized.dequantize() - weight).abs()
    assert (moved <= quantized.scale * 1.001 + 1e-6).all()


@given(weights, st.sampled_from(ALL_BITS))
def test_zero_stays_zero(weight, bits):
    with_zero = torch.cat([weight, torch.zeros(1, 1)], dim=1)
    assert per_tensor.quantize(with_zero, bits, None).dequantize()[0, -1] == 0


def test_a_weight_of_zeros_stays_zero():
    assert per_tensor.quantize(torch.zeros(2, 3), 4, None).dequantize().equal(torch.zeros(2, 3))


def test_the_group_size_changes_nothing():
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    assert per_tensor.quantize(weight, 4, 32).codes.equal(per_tensor.quantize(weight, 4, None).codes)


def test_one_outlier_costs_all_other_weights_their_precision():
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    weight[0, 0] = 100.0
    errors = [
        (quantize(weight, 4, 64).dequantize() - weight)[1:].abs().mean()
        for quantize in (per_tensor.quantize, rtn.quantize)
    ]
    assert errors[0] > 5 * errors[1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinite"):
        per_tensor.quantize(torch.tensor([[1.0, bad]]), 4, None)


def test_storage_is_codes_and_one_scale_and_one_zero_point():
    assert stored_bits(per_tensor.quantize(torch.ones(8, 128), 4, None)) == 8 * 128 * 4 + 32 + 4
