"""Learned steps: gradients against closed forms and finite differences, freezing bit by bit."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from bert_mpq.compute.encoder import encoder_layers
from bert_mpq.quantization import per_tensor, rtn
from bert_mpq.quantization.training.lsq import LearnedStep, frozen, learn_step
from bert_mpq.quantization.weight import QuantizedWeight

OUT, IN, SIZE = 3, 16, 8
BITS = (2, 3, 4, 8)


def case(bits, seed=0, size=SIZE):
    """Return a latent weight, steps and an incoming gradient; every ratio is far from a rounding edge."""
    generator = torch.Generator().manual_seed(seed)
    half = 2 ** (bits - 1)
    step = 0.03 + 0.05 * torch.rand((OUT, IN // size), generator=generator)
    step = step.half().float()  # so that the rounding of the step moves nothing
    codes = torch.randint(-half - 2, half + 2, (OUT, IN), generator=generator)
    ratio = codes + 0.6 * torch.rand((OUT, IN), generator=generator) - 0.3
    weight = (ratio.reshape(OUT, -1, size) * step[:, :, None]).reshape(OUT, IN)
    return weight, step, torch.randn((OUT, IN), generator=generator)


def parametrization(bits, step):
    start = QuantizedWeight(codes=torch.zeros(OUT, IN, dtype=torch.int16), scale=step.half(), bits=bits)
    return LearnedStep(start)


def gradients(bits, weight, step, incoming):
    module, weight = parametrization(bits, step), weight.clone().requires_grad_()
    module(weight).backward(incoming)
    return weight.grad, module.step.grad


@pytest.mark.parametrize("bits", BITS)
def test_the_forward_pass_is_codes_times_step(bits):
    weight, step, _ = case(bits)
    half = 2 ** (bits - 1)
    wide = step.repeat_interleave(SIZE, 1)
    wanted = (weight / wide).round().clamp(-half, half - 1) * wide
    assert parametrization(bits, step)(weight).equal(wanted)


@pytest.mark.parametrize("bits", BITS)
def test_every_element_has_the_gradient_of_the_paper(bits):
    weight, step, incoming = case(bits)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    to_weight, to_step = gradients(bits, weight, step, incoming)
    for row in range(OUT):
        for group in range(IN // SIZE):
            total = 0.0
            for column in range(group * SIZE, (group + 1) * SIZE):
                ratio = (weight[row, column] / step[row, group]).item()
                inside = lowest <= ratio <= highest
                slope = round(ratio) - ratio if inside else (lowest if ratio < lowest else highest)
                total += incoming[row, column].item() * slope
                assert to_weight[row, column] == (incoming[row, column] if inside else 0)
            scaled = total / math.sqrt(SIZE * highest)
            assert to_step[row, group].item() == pytest.approx(scaled, rel=1e-3, abs=1e-4)


def surrogate(weight, step, offset, bits):
    """The quantizer with the rounding error held constant: what straight-through differentiates."""
    half = 2 ** (bits - 1)
    ratio = weight.reshape(*step.shape, -1) / step[:, :, None]
    return ((ratio.clamp(-half, half - 1) + offset) * step[:, :, None]).reshape(weight.shape)


@pytest.mark.parametrize("bits", BITS)
def test_gradients_agree_with_finite_differences(bits):
    weight, step, incoming = (tensor.double() for tensor in case(bits, seed=1))
    half = 2 ** (bits - 1)
    ratio = (weight.reshape(*step.shape, -1) / step[:, :, None]).clamp(-half, half - 1)
    offset = ratio.round() - ratio

    def loss(weight, step):
        return (surrogate(weight, step, offset, bits) * incoming).sum()

    def differences(tensor, evaluate, width=1e-6):
        result = torch.zeros_like(tensor)
        for index in range(tensor.numel()):
            moved = [tensor.clone(), tensor.clone()]
            moved[0].view(-1)[index] += width
            moved[1].view(-1)[index] -= width
            result.view(-1)[index] = (evaluate(moved[0]) - evaluate(moved[1])) / (2 * width)
        return result

    to_weight, to_step = gradients(bits, weight.float(), step.float(), incoming.float())
    torch.testing.assert_close(to_weight.double(), differences(weight, lambda w: loss(w, step)))
    scaled = differences(step, lambda s: loss(weight, s)) / math.sqrt(SIZE * (half - 1))
    torch.testing.assert_close(to_step.double(), scaled, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bits", BITS)
def test_beyond_the_grid_the_true_quantizer_moves_with_the_step(bits):
    """There the paper's gradient is no estimate: it is the derivative of the quantizer itself."""
    half = 2 ** (bits - 1)
    step = torch.full((OUT, IN // SIZE), 0.0625)
    weight = torch.full((OUT, IN), 0.0625 * (half + 3))
    weight[1] *= -1
    incoming = torch.ones(OUT, IN)
    width = 2.0**-10  # a float16 difference that is exact
    ahead, behind = (parametrization(bits, step + d)(weight).sum(1) for d in (width, -width))
    wanted = (ahead - behind) / (2 * width) / math.sqrt(SIZE * (half - 1))
    _, to_step = gradients(bits, weight, step, incoming)
    torch.testing.assert_close(to_step.sum(1), wanted)


def test_one_step_per_channel_shares_the_gradient_of_the_row():
    weight, step, incoming = case(4, size=IN)
    _, to_step = gradients(4, weight, step, incoming)
    assert to_step.shape == (OUT, 1)


@pytest.mark.parametrize("bits", BITS)
def test_freezing_gives_exactly_the_weight_of_the_forward_pass(bits):
    linear = nn.Linear(128, 24)
    weight = linear.weight.detach().clone()
    start = rtn.quantize_clipped(weight, bits, 64)  # about half of its scales are below zero
    learn_step(linear, start, weight)
    with torch.no_grad():  # steps between float16 values, as a training leaves them
        linear.parametrizations["weight"][0].step.mul_(1 + 0.1 * torch.rand(24, 2))
    quantized = frozen(linear)
    assert quantized.scale.dtype == torch.float16
    assert quantized.scale.sign().equal(start.scale.sign())
    assert quantized.codes.abs().max() <= 2 ** (bits - 1)
    assert linear.weight.equal(quantized.dequantize())
    assert linear.weight.equal(
        (quantized.codes.float().reshape(24, 2, 64) * quantized.scale.float()[:, :, None]).reshape(24, 128)
    )


@pytest.mark.parametrize("bits", BITS)
def test_freezing_again_gives_the_same_codes_and_scales(bits):
    linear = nn.Linear(128, 24)
    weight = linear.weight.detach().clone()
    start = rtn.quantize_clipped(weight, bits, 64)  # about half of its scales are below zero
    learn_step(linear, start, weight)
    with torch.no_grad():
        linear.parametrizations["weight"][0].step.mul_(0.7)
    first = frozen(linear)
    again = nn.Linear(128, 24)
    learn_step(again, first, first.dequantize())
    second = frozen(again)
    assert second.codes.equal(first.codes)
    assert second.scale.equal(first.scale)


def test_training_starts_from_the_quantized_weight():
    weight = torch.randn(24, 128)
    linear, start = nn.Linear(128, 24), rtn.quantize_clipped(weight, 2, 64)
    learn_step(linear, start, weight)
    assert linear.weight.equal(start.dequantize())
    assert linear.parametrizations["weight"].original.equal(weight)


def test_steps_stay_above_zero():
    module = parametrization(2, torch.full((OUT, IN // SIZE), 0.1))
    with torch.no_grad():
        module.step.fill_(-1.0)
    weight = torch.randn(OUT, IN, requires_grad=True)
    module(weight).sum().backward()
    assert (module.freeze(weight).scale > 0).all()  # as they began: the sign is not learned
    assert torch.isfinite(weight.grad).all()
    assert torch.isfinite(module.step.grad).all()


def test_a_grid_with_a_zero_point_is_refused():
    with pytest.raises(ValueError, match="symmetric"):
        LearnedStep(per_tensor.quantize(torch.randn(4, 8), 4, None))


def test_the_module_trains_both_weight_and_step(tiny_model):
    layer = copy.deepcopy(encoder_layers(tiny_model)[0])
    linear = layer.intermediate.dense
    weight = linear.weight.detach().clone()
    learn_step(linear, rtn.quantize(weight, 4, None), weight)
    assert parametrize.is_parametrized(linear, "weight")
    linear(torch.randn(5, 16)).square().sum().backward()
    names = [name for name, value in linear.named_parameters() if value.grad is not None]
    assert names == ["bias", "parametrizations.weight.original", "parametrizations.weight.0.step"]


def test_steps_go_where_the_weight_is():
    weight = torch.randn(24, 128)
    linear = nn.Linear(128, 24, device="meta")
    learn_step(linear, rtn.quantize(weight, 4, 64), weight)
    assert {parameter.device.type for parameter in linear.parameters()} == {"meta"}
    assert linear.weight.device.type == "meta"
