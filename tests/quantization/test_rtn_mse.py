import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.quantization import rtn
from bert_mpq.quantization.grid import absmax_scale, clipped_scale, encoded, grouped
from bert_mpq.quantization.hessian import Hessian

ALL_BITS = (2, 3, 4, 6, 8)


def random_weight(seed, rows=4, columns=64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) * torch.logspace(-3, 1, rows)[:, None]


weights = st.builds(random_weight, st.integers(0, 2**32 - 1))
bits_per_code = st.sampled_from(ALL_BITS)
group_sizes = st.sampled_from([None, 32, 64])


def squared_error(quantized, weight):
    return (quantized.dequantize() - weight).double().square().sum(1)


@given(weights, bits_per_code, group_sizes)
def test_no_row_is_worse_than_without_clipping(weight, bits, group_size):
    clipped, plain = rtn.quantize_clipped(weight, bits, group_size), rtn.quantize(weight, bits, group_size)
    assert (squared_error(clipped, weight) <= squared_error(plain, weight) * (1 + 1e-5)).all()


@given(weights, st.sampled_from((2, 3, 4)))
def test_a_finer_search_finds_little_more(weight, bits):
    """Against every share of the unclipped scale in steps of 0.002, with both signs."""
    largest = absmax_scale(grouped(weight, 32), bits)
    groups = grouped(weight, 32)
    best = torch.full(largest.shape, torch.inf)
    for share in torch.arange(0.2, 1.4, 0.002).tolist():
        for sign in (1, -1):
            scale = (largest.float() * share * sign).half()
            error = (encoded(groups, scale, bits) * scale.float()[:, :, None] - groups).square().sum(2)
            best = torch.minimum(best, error)
    found = clipped_scale(groups, bits)
    error = (encoded(groups, found, bits) * found.float()[:, :, None] - groups).square().sum(2)
    assert error.sum() <= 1.1 * best.sum()


def test_the_sign_of_the_scale_gives_the_longer_tail_one_more_code():
    weight = torch.tensor([[-1.0, 1.0, 2.0, 0.0]])
    for mirrored in (1, -1):
        quantized = rtn.quantize_clipped(mirrored * weight, 2, None)
        assert quantized.scale.item() == -mirrored
        assert quantized.dequantize().equal(mirrored * weight)


def test_with_inputs_the_clip_weighs_errors_by_their_second_moments():
    weight = random_weight(5)
    matrix = torch.diag(torch.cat([torch.full((8,), 100.0), torch.ones(56)])).double()
    hessian = Hessian(matrix=matrix)
    plain, weighed = rtn.quantize_clipped(weight, 2, 64), rtn.quantize_clipped(weight, 2, 64, hessian)
    errors = [hessian.error(found.dequantize() - weight).sum() for found in (weighed, plain)]
    assert errors[0] < errors[1]


def test_with_two_bits_an_outlier_is_cut_off():
    weight = torch.full((1, 64), 0.1)
    weight[0, ::2] = -0.1
    weight[0, 0] = -0.4
    assert squared_error(rtn.quantize_clipped(weight, 2, None), weight) < 0.5 * squared_error(
        rtn.quantize(weight, 2, None), weight
    )


@given(weights, bits_per_code, group_sizes)
def test_codes_scales_and_weight_are_one(weight, bits, group_size):
    quantized = rtn.quantize_clipped(weight, bits, group_size)
    assert quantized.scale.dtype == torch.float16
    steps = quantized.scale.float().repeat_interleave(64 // quantized.scale.shape[1], dim=1)
    assert quantized.dequantize().equal(quantized.codes.float() * steps)
    assert quantized.codes.min() >= -(2 ** (bits - 1))
    assert quantized.codes.max() <= 2 ** (bits - 1) - 1


@given(weights, bits_per_code)
def test_quantizing_on_the_grid_once_more_gives_the_same_codes(weight, bits):
    quantized = rtn.quantize_clipped(weight, bits, 32)
    again = encoded(grouped(quantized.dequantize(), 32), quantized.scale, bits)
    assert again.reshape(weight.shape).equal(quantized.codes.float())


def test_importance_moves_the_error_to_inputs_that_do_not_matter():
    weight = random_weight(0)
    groups = grouped(weight, 64)
    importance = torch.ones(1, 64)
    importance[0, :8] = 100.0
    weighted, plain = clipped_scale(groups, 2, importance), clipped_scale(groups, 2)
    errors = [
        ((encoded(groups, scale, 2) * scale.float()[:, :, None] - groups).square() * importance).sum()
        for scale in (weighted, plain)
    ]
    assert errors[0] < errors[1]


def test_zeros_stay_zero():
    assert rtn.quantize_clipped(torch.zeros(2, 64), 2, 32).dequantize().equal(torch.zeros(2, 64))
