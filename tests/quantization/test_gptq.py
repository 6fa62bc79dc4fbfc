"""GPTQ: its error against rounding, its grid, and an independent route to its codes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.quantization import gptq, rtn
from bert_mpq.quantization.grid import clipped_scale, grouped
from bert_mpq.quantization.hessian import Hessian

ALL_BITS = (2, 3, 4, 6, 8)


def random_problem(seed, rows=6, columns=64, inputs=200):
    """A weight and the Hessian of correlated inputs, a few of them much larger than the rest."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * torch.logspace(-2, 0, rows)[:, None]
    x = torch.randn(inputs, columns, generator=generator, dtype=torch.float64)
    x = x @ torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    x[:, :3] *= 10
    return weight, Hessian(matrix=x.T @ x)


def output_error(quantized, weight, hessian):
    """tr(dW H dW^T) in numpy float64."""
    difference = (quantized.dequantize() - weight).double().numpy()
    return float(np.einsum("oi,ij,oj->", difference, hessian.matrix.numpy(), difference))


problems = st.builds(random_problem, st.integers(0, 2**32 - 1), inputs=st.sampled_from([1, 30, 200]))


@given(problems, st.sampled_from(ALL_BITS), st.sampled_from([None, 32, 64]))
def test_gptq_is_never_worse_than_rounding_to_nearest(problem, bits, group_size):
    weight, hessian = problem
    error = output_error(gptq.quantize(weight, bits, group_size, hessian), weight, hessian)
    for quantize in (rtn.quantize, rtn.quantize_clipped):
        rounded = output_error(quantize(weight, bits, group_size, hessian), weight, hessian)
        assert error <= rounded * (1 + 1e-6) + 1e-12


def test_gptq_is_much_better_than_rounding_where_inputs_are_correlated():
    weight, hessian = random_problem(0, rows=32, columns=128, inputs=2000)
    error = output_error(gptq.quantize(weight, 4, 64, hessian), weight, hessian)
    assert error < 0.5 * output_error(rtn.quantize(weight, 4, 64), weight, hessian)


@given(problems, st.sampled_from(ALL_BITS), st.sampled_from([None, 32]))
def test_codes_and_scales_are_what_a_file_can_hold(problem, bits, group_size):
    weight, hessian = problem
    quantized = gptq.quantize(weight, bits, group_size, hessian)
    assert quantized.codes.dtype == torch.int16
    assert quantized.codes.min() >= -(2 ** (bits - 1))
    assert quantized.codes.max() <= 2 ** (bits - 1) - 1
    assert quantized.scale.dtype == torch.float16
    assert quantized.scale.shape == (6, 1 if group_size is None else 2)
    assert torch.isfinite(quantized.scale).all()
    assert (quantized.scale != 0).all()


def reference_codes(weight, scale, bits, hessian):
    """The textbook, one column at a time: invert what is left of H anew for every column (OBQ, eq. 2)."""
    w, steps = weight.double().numpy().copy(), scale.double().numpy()
    h = hessian.matrix.numpy()
    order = np.argsort(-np.diag(h), kind="stable")
    h = h + 0.01 * np.diag(h).mean() * np.eye(len(h))
    codes = np.empty_like(w)
    for position, column in enumerate(order):
        left = order[position:]
        inverse = np.linalg.inv(h[np.ix_(left, left)])
        codes[:, column] = np.clip(
            np.rint(w[:, column] / steps[:, column]), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        )
        error = (w[:, column] - codes[:, column] * steps[:, column]) / inverse[0, 0]
        w[:, left] -= np.outer(error, inverse[0])
    return codes


@pytest.mark.parametrize("columns", [64, 192])  # in one block of columns, and across two
def test_codes_are_those_of_the_textbook(columns):
    weight, hessian = random_problem(1, rows=8, columns=columns, inputs=500)
    importance = hessian.matrix.diagonal().float().reshape(columns // 32, 32)
    scale = clipped_scale(grouped(weight, 32), 4, importance)
    expected = reference_codes(weight, scale.repeat_interleave(32, dim=1), 4, hessian)
    quantized = gptq.quantize(weight, 4, 32, hessian)
    kept = (quantized.scale == scale).all(1).numpy()  # rows that plain rounding did not win
    assert kept.sum() >= 6
    assert (quantized.codes.numpy()[kept] == expected[kept]).mean() > 0.99  # ties may round otherwise


def test_uncorrelated_inputs_leave_nothing_to_make_up_for():
    weight, _ = random_problem(2)
    hessian = Hessian(matrix=torch.eye(64, dtype=torch.float64))
    quantized, rounded = gptq.quantize(weight, 4, 32, hessian), rtn.quantize_clipped(weight, 4, 32)
    assert quantized.codes.equal(rounded.codes)
    assert quantized.scale.equal(rounded.scale)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_few_bits_are_refitted(bits, monkeypatch):
    weight, hessian = random_problem(7)
    found = gptq.quantize(weight, bits, 32, hessian)
    monkeypatch.setattr(gptq, "refit", lambda start, weight, hessian: start)
    without = gptq.quantize(weight, bits, 32, hessian)
    assert found.codes.equal(without.codes) == (bits > 3)


def test_inputs_that_were_never_active_round_to_nearest():
    weight, hessian = random_problem(3)
    matrix = hessian.matrix.clone()
    matrix[40:] = matrix[:, 40:] = 0.0
    quantized = gptq.quantize(weight, 4, 8, Hessian(matrix=matrix))
    nearest = torch.round(weight / quantized.scale.float().repeat_interleave(8, dim=1)).clamp(-8, 7)
    assert quantized.codes[:, 40:].equal(nearest[:, 40:].to(torch.int16))


@pytest.mark.parametrize("matrix", [torch.zeros(64, 64), -torch.eye(64), torch.ones(64, 64)])
def test_damping_grows_until_the_hessian_can_be_factored(matrix):
    weight, _ = random_problem(4)
    quantized = gptq.quantize(weight, 4, 32, Hessian(matrix=matrix.double()))
    step = quantized.scale.float().abs().repeat_interleave(32, dim=1)
    assert ((quantized.dequantize() - weight).abs() <= 20 * step).all()


def test_inputs_that_are_not_finite_are_refused():
    weight, hessian = random_problem(5)
    broken = Hessian(matrix=hessian.matrix * torch.nan)
    with pytest.raises(ValueError, match="calibration inputs hold NaN"):
        gptq.quantize(weight, 4, 32, broken)


def test_gptq_without_inputs_is_refused():
    with pytest.raises(ValueError, match="needs calibration inputs"):
        gptq.quantize(torch.ones(2, 64), 4, 32)


def test_the_weight_and_the_hessian_are_left_alone():
    weight, hessian = random_problem(6)
    kept = weight.clone(), hessian.matrix.clone()
    gptq.quantize(weight, 2, 32, hessian)
    assert weight.equal(kept[0])
    assert hessian.matrix.equal(kept[1])
