import copy

import pytest
import torch
from torch import nn

from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.quantization import per_tensor, rtn
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.settings.errors import MpqError
from tests.helpers.quantized import quantize_whole, quantized_at, stored_bits

RTN = Scheme(quantizer="rtn", group_size=16)
TOKENS = torch.tensor([[101, 2023, 3185, 2003, 2307, 102], [101, 2009, 2001, 9643, 102, 0]])
LAYER_WEIGHTS = 4 * 16 * 16 + 2 * 16 * 32


def logits(model):
    with torch.inference_mode():
        return model(TOKENS, (TOKENS > 0).long()).logits


def parameters(model):
    return {name: parameter.clone() for name, parameter in model.named_parameters()}


def changed(before, model):
    """Return the names of the parameters that differ from ``before``."""
    return {name for name, parameter in model.named_parameters() if not parameter.equal(before[name])}


def test_32_bits_change_nothing(tiny_model):
    copied = quantized_at(tiny_model, (32, 32), "rtn", 64)
    assert logits(copied.model).equal(logits(tiny_model))


def test_32_bits_leave_the_real_classifier_as_it_is(classifier):
    copied = quantized_at(classifier.model, (32,) * 6, "rtn", 64)
    assert logits(copied.model).equal(logits(classifier.model))


def test_16_bits_are_a_round_trip_through_float16(tiny_model):
    copied = quantized_at(tiny_model, (16, 16), "rtn", 64).model
    for quantized, original in zip(encoder_layers(copied), encoder_layers(tiny_model), strict=True):
        for (_, after), (_, before) in zip(linears(quantized), linears(original), strict=True):
            assert after.weight.equal(before.weight.half().float())


@pytest.mark.parametrize(("name", "quantize"), [("rtn", rtn.quantize), ("per-tensor", per_tensor.quantize)])
def test_fewer_bits_go_through_the_quantizer(tiny_model, name, quantize):
    copied = quantized_at(tiny_model, (4, 2), name, 32).model
    layers = zip(encoder_layers(copied), encoder_layers(tiny_model), (4, 2), strict=True)
    for quantized, original, bits in layers:
        for (_, after), (_, before) in zip(linears(quantized), linears(original), strict=True):
            assert after.weight.equal(quantize(before.weight, bits, 32).dequantize())


def test_auto_without_reviews_rounds_channels_at_8_bits_and_searches_for_the_clip_below(tiny_model):
    copied = quantized_at(tiny_model, (8, 3), "auto", 16).model
    rounded = (
        lambda weight: rtn.quantize(weight, 8, None),
        lambda weight: rtn.quantize_clipped(weight, 3, 16),
    )
    for quantized, original, expected in zip(
        encoder_layers(copied), encoder_layers(tiny_model), rounded, strict=True
    ):
        for (_, after), (_, before) in zip(linears(quantized), linears(original), strict=True):
            assert after.weight.equal(expected(before.weight).dequantize())


def test_the_original_model_is_not_touched(tiny_model):
    before = parameters(tiny_model)
    quantized_at(tiny_model, (2, 2), "rtn", 64)
    assert changed(before, tiny_model) == set()


def test_only_the_linear_weights_of_the_layers_are_quantized(tiny_model):
    copied = quantized_at(tiny_model, (32, 4), "rtn", 64).model
    assert changed(parameters(tiny_model), copied) == {
        f"bert.encoder.layer.1.{name}.weight"
        for name in (
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        )
    }


def test_the_parts_of_the_size_add_up_to_all_parameters(classifier):
    count = sum(parameter.numel() for parameter in classifier.model.parameters())
    sizes = quantized_at(classifier.model, (16, 8, 8, 4, 4, 2), "rtn", 64).sizes
    assert sizes.whole_original_bits == 32 * count
    assert sizes.linear_weights == 6 * 1_769_472
    assert sizes.head_bits == 32 * (384 * 384 + 384 + 2 * 384 + 2)
    assert sizes.embedding_bits == 32 * 384 * (30_522 + 512 + 2)


def test_the_sizes_of_a_mixed_model_are_counted_by_hand(tiny_model):
    sizes = quantized_at(tiny_model, (16, 4), "rtn", 16).sizes
    groups = 4 * 16 + 32 + 16 * 2  # one per 16 inputs: 4 x (16, 16), (32, 16), (16, 32)
    assert sizes.linear_weights == 2 * LAYER_WEIGHTS
    assert sizes.nominal_bits == (16 + 4) * LAYER_WEIGHTS
    assert sizes.quantized_bits == 16 * LAYER_WEIGHTS + 4 * LAYER_WEIGHTS + 16 * groups
    assert sizes.ratio == 64 * LAYER_WEIGHTS / sizes.quantized_bits


def test_32_bits_save_nothing(tiny_model):
    sizes = quantized_at(tiny_model, (32, 32), "rtn", 64).sizes
    assert (sizes.ratio, sizes.bits_per_weight, sizes.whole_ratio) == (1.0, 32.0, 1.0)


def test_a_layer_returns_the_codes_that_its_weights_are_made_of(tiny_model):
    layer = copy.deepcopy(encoder_layers(tiny_model)[0])
    weights = quantize_whole(layer, 8, "per-tensor", None)
    assert sum(stored_bits(weight) for weight in weights.values()) == 8 * LAYER_WEIGHTS + 6 * (32 + 8)
    for name, linear in linears(layer):
        assert linear.weight.equal(weights[name].dequantize())


def test_a_model_keeps_codes_and_scales_under_the_names_of_its_modules(tiny_model):
    copied = quantized_at(tiny_model, (16, 4), "rtn", 16)
    modules = dict(copied.model.named_modules())
    assert list(copied.bits.values()) == [16] * 6 + [4] * 6
    assert list(copied.weights) == [name for name, bits in copied.bits.items() if bits == 4]
    assert all(modules[name].weight.equal(weight.dequantize()) for name, weight in copied.weights.items())


def test_every_linear_can_have_bits_of_its_own(tiny_model):
    by_name = dict.fromkeys(quantized_at(tiny_model, (32, 32), "rtn", 16).bits, 32)
    by_name["bert.encoder.layer.1.output.dense"] = 2
    copied = quantized_copy(tiny_model, by_name, RTN)
    assert changed(parameters(tiny_model), copied.model) == {"bert.encoder.layer.1.output.dense.weight"}
    assert copied.sizes.nominal_bits == 32 * 2 * LAYER_WEIGHTS - 30 * 16 * 32


def test_bits_of_a_linear_that_is_not_there_are_refused(tiny_model):
    with pytest.raises(MpqError, match=r"bert\.encoder\.layer\.0\.attention") as refused:
        quantized_copy(tiny_model, {"pooler": 4}, RTN)
    assert refused.value.code == "E-LAYERS"


@pytest.mark.parametrize("bits", [(4,), (4, 4, 4), ()])
def test_an_allocation_for_another_model_is_refused(tiny_model, bits):
    with pytest.raises(MpqError) as refused:
        quantized_at(tiny_model, bits, "rtn", 64)
    assert refused.value.code == "E-LAYERS"
    assert refused.value.title == f"The allocation has {len(bits)} layers, the model has 2."


@pytest.fixture
def broken_model(tiny_model):
    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        encoder_layers(broken)[1].attention.self.key.weight[3, 5] = torch.nan
    return broken


@pytest.mark.parametrize("quantizer", ["rtn", "per-tensor"])
def test_a_weight_that_is_not_a_number_is_named(broken_model, quantizer):
    with pytest.raises(MpqError, match=r"The weight of attention\.self\.key:.*NaN") as refused:
        quantized_at(broken_model, (8, 8), quantizer, 64)
    assert refused.value.code == "E-MODEL"


@pytest.mark.parametrize("bits", [16, 32])
def test_a_weight_that_is_not_a_number_is_named_at_any_width(broken_model, bits):
    with pytest.raises(MpqError):
        quantized_at(broken_model, (8, bits), "rtn", 64)


def test_a_layer_of_other_linears_is_quantized_too():
    layer = nn.ModuleDict({"project": nn.Linear(64, 3), "norm": nn.LayerNorm(3)})
    weights = quantize_whole(layer, 4, "rtn", 64)
    assert stored_bits(weights["project"]) == 4 * 3 * 64 + 16 * 3
    assert len(layer["project"].weight[0].unique()) <= 16
