"""Refitted scales and codes: never a higher error, and no better ones by brute force."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.quantization import rtn
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.refit import refit
from tests.quantization.test_gptq import problems, random_problem

bits_per_code = st.sampled_from((2, 3, 4, 8))
group_sizes = st.sampled_from([None, 16, 64])


def errors(quantized, weight, hessian):
    return hessian.error(quantized.dequantize() - weight)


@given(problems, bits_per_code, group_sizes)
def test_no_row_gets_worse(problem, bits, group_size):
    weight, hessian = problem
    for quantize in (rtn.quantize, rtn.quantize_clipped):
        start = quantize(weight, bits, group_size, hessian)
        before, after = (errors(each, weight, hessian) for each in (start, refit(start, weight, hessian)))
        assert (after <= before).all()


@given(problems, bits_per_code, group_sizes)
def test_codes_and_scales_are_what_a_file_can_hold(problem, bits, group_size):
    weight, hessian = problem
    start = rtn.quantize_clipped(weight, bits, group_size, hessian)
    found = refit(start, weight, hessian)
    assert (found.codes.dtype, found.scale.dtype, found.bits) == (torch.int16, torch.float16, bits)
    assert (found.codes.shape, found.scale.shape) == (start.codes.shape, start.scale.shape)
    assert found.codes.min() >= -(2 ** (bits - 1))
    assert found.codes.max() <= 2 ** (bits - 1) - 1
    assert found.scale.isfinite().all()
    assert (found.scale != 0).all()


def test_correlated_inputs_leave_much_to_win():
    weight, hessian = random_problem(0, rows=32, columns=128, inputs=2000)
    start = rtn.quantize_clipped(weight, 3, 64, hessian)
    before, after = (errors(each, weight, hessian).sum() for each in (start, refit(start, weight, hessian)))
    assert after < 0.6 * before


def test_one_group_gets_the_scale_of_least_squares():
    """Codes that stay best as they are: the scale alone moves, to the float16 next to the optimum."""
    weight, hessian = random_problem(1, rows=1, columns=8, inputs=200)
    codes = rtn.quantize(weight, 8, None).codes
    start = rtn.quantize(weight, 8, None)
    start = type(start)(codes=codes, scale=(start.scale.float() * 1.02).half(), bits=8)
    found = refit(start, weight, hessian)
    own = found.codes.double()
    optimum = (weight.double() @ hessian.damped @ own.T) / (own @ hessian.damped @ own.T)
    assert abs(found.scale.double() - optimum) <= optimum.abs() * 2**-10


def test_no_single_code_could_still_be_better():
    weight, hessian = random_problem(2, rows=4, columns=16, inputs=100)
    found = start = rtn.quantize_clipped(weight, 3, None, hessian)
    for _ in range(20):  # until nothing moves any more
        found = refit(found, weight, hessian)
    assert not found.codes.equal(start.codes)
    damped = Hessian(matrix=hessian.damped)
    least = errors(found, weight, damped)
    for column in range(16):
        for step in (-1, 1):
            codes = found.codes.clone()
            codes[:, column] = (codes[:, column] + step).clamp(-4, 3)
            other = type(found)(codes=codes, scale=found.scale, bits=3)
            assert (errors(other, weight, damped) >= least * (1 - 1e-4)).all()


def test_zeros_and_inputs_that_were_never_active_stay_as_they_are():
    weight, _ = random_problem(3)
    weight[0] = 0.0
    start = rtn.quantize_clipped(weight, 2, 32)
    silent = Hessian(matrix=torch.zeros(64, 64, dtype=torch.float64))
    found = refit(start, weight, silent)
    assert found.codes.equal(start.codes)
    assert found.scale.equal(start.scale)
