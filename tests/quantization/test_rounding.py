"""Learned rounding: no layer ends worse than it began, the same every time, resumed where it was stopped."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.checkpoints import Checkpoints, pass_identity
from bert_mpq.compute.encoder import encoder_layers, linears, outline_of
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization import layerwise, rtn
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.rounding import LayerRounding, LearnedRounding, RoundingRecipe
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.quantization.training.lsq import learn_step
from tests.helpers.quantized import quantize_whole, quantized_at
from tests.helpers.workloads import on_cpu

QUICK = RoundingRecipe(steps=40, batch_size=4)


@pytest.fixture(scope="module")
def calibration(classifier, reviews):
    """Twenty-four real reviews."""
    tokens = tokenize(reviews.take(list(range(24))), classifier.tokenizer, 24, Silent())
    return on_cpu(tokens, 300)


@pytest.fixture(scope="module")
def small(small_model):
    """A random classifier of five layers."""
    return AutoModelForSequenceClassification.from_pretrained(small_model).eval()


@pytest.fixture
def quick(monkeypatch):
    """A few steps a layer."""
    monkeypatch.setattr(layerwise, "RoundingRecipe", lambda seed: dataclasses.replace(QUICK, seed=seed))


@pytest.fixture
def start():
    """A random weight, and its codes and scales of both signs."""
    weight = torch.randn(24, 128, generator=torch.Generator().manual_seed(0))
    return weight, rtn.quantize_clipped(weight, 2, 64)


def layer_error(model, quantized, index, work):
    """The squared error of a layer, one review at a time, on the inputs that each model gives it."""
    total = 0.0
    for review in range(len(work.tokens)):
        batch = work.tokens.batch(np.array([review]))
        with torch.no_grad():
            outputs = [
                each(batch.input_ids, batch.attention_mask, output_hidden_states=True).hidden_states[
                    index + 1
                ]
                for each in (model, quantized)
            ]
        total += float((outputs[0] - outputs[1]).double().square().sum())
    return total


def test_it_starts_from_the_codes_and_scales_that_it_is_given(start):
    weight, given = start
    module = LearnedRounding(given, weight)
    assert module(weight).equal(given.dequantize())
    found = module.freeze()
    assert found.codes.equal(given.codes)
    assert found.scale.equal(given.scale)


def test_freezing_gives_exactly_the_weight_of_the_forward_pass(start):
    weight, given = start
    module = LearnedRounding(given, weight)
    with torch.no_grad():
        module.shift.uniform_(-0.5, 0.5)
        module.factor.uniform_(0.75, 1.25)
    found = module.freeze()
    assert module(weight).equal(found.dequantize())
    assert not found.codes.equal(given.codes)
    assert (found.codes - given.codes).abs().max() == 1
    assert found.codes.min() >= -2
    assert found.codes.max() <= 1
    assert found.scale.dtype == torch.float16
    assert found.scale.sign().equal(given.scale.sign())


def test_a_scale_that_float16_cannot_hold_stays_as_it_was(start):
    weight, given = start
    module = LearnedRounding(given, weight)
    with torch.no_grad():
        module.factor[0] = 1e-9
        module.factor[1] = 1e9
    found = module.freeze()
    assert found.scale[:2].equal(given.scale[:2])


def test_gradients_are_those_of_the_codes_with_their_rounding_held_constant(start):
    weight, given = start
    module = LearnedRounding(given, weight)
    incoming = torch.randn(24, 128, generator=torch.Generator().manual_seed(1))
    shift, factor = torch.autograd.grad((module(weight) * incoming).sum(), [module.shift, module.factor])
    grouped = incoming.reshape(24, 2, 64)
    scale, codes = given.scale.float()[:, :, None], given.codes.float().reshape(24, 2, 64)
    torch.testing.assert_close(shift, grouped * scale)
    torch.testing.assert_close(factor, (grouped * codes * scale).sum(2, keepdim=True))


@pytest.mark.parametrize("steps", [1, 40])  # with one step the codes end far off: the start stays
def test_no_layer_ends_worse_than_it_began(classifier, calibration, steps):
    model, quantized = classifier.model, copy.deepcopy(classifier.model)
    layer = encoder_layers(quantized)[0]
    first = quantize_whole(layer, 2, "rtn-mse", 64)
    originals = {name: linear.weight for name, linear in linears(encoder_layers(model)[0])}
    before = copy.deepcopy(quantized)
    recipe = dataclasses.replace(QUICK, steps=steps)
    with LayerReviews(model, calibration) as teacher, LayerReviews(quantized, calibration) as student:
        *_, found = LayerRounding(teacher, student, recipe).learn(0, first, originals)
    errors = [layer_error(model, each, 0, calibration) for each in (before, quantized)]
    if steps == 1:
        assert all(found[name].codes.equal(weight.codes) for name, weight in first.items())
        assert errors[0] == errors[1]
    else:
        assert errors[1] < 0.8 * errors[0]
    for name, linear in linears(layer):
        assert type(linear) is nn.Linear
        assert linear.weight.equal(found[name].dequantize())


def test_learned_rounding_is_the_same_every_time_and_better_than_gptq(small, calibration, quick):
    first, second, gptq = (
        quantized_at(small, (2, 3, 32, 32, 32), name, 16, calibration)
        for name in ("learned", "learned", "gptq")
    )
    assert list(first.weights) == list(gptq.weights)
    for name, weight in first.weights.items():
        assert weight.codes.equal(second.weights[name].codes)
        assert weight.scale.equal(second.weights[name].scale)
        assert first.model.get_parameter(f"{name}.weight").equal(weight.dequantize())
    errors = [layer_error(small, each.model, 1, calibration) for each in (first, gptq)]
    assert errors[0] < errors[1]


def test_in_smaller_parts_the_gradients_are_the_same(small, calibration, quick):
    whole, parts = (
        quantized_at(small, (2, 32, 32, 32, 32), "learned", 16, dataclasses.replace(calibration, asked=asked))
        for asked in (1_000, 30)
    )
    same = [(one.codes == parts.weights[name].codes).float().mean() for name, one in whole.weights.items()]
    assert min(same) > 0.9


class Stopping(Silent):
    """Ctrl-C after so many steps."""

    def __init__(self, steps):
        self.left, self.notes = steps, []

    def note(self, text):
        self.notes.append(text)

    def track(self, items, title, total, weight=None):
        for item in items:
            yield item
            self.left -= title == "Quantize"
            if not self.left:
                raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_with_the_layer_it_was_in(small, calibration, quick, tmp_path):
    bits = outline_of(small).bits_by_name((2, 8, 3, 16, 32))
    scheme = Scheme(quantizer="learned", group_size=16)

    def run(reporter):
        with Checkpoints(str(tmp_path), "Evaluation", 0.0, reporter) as checkpoints:
            identity = pass_identity(small, calibration)
            file = checkpoints.open("Quantize", lambda: identity)
            return quantized_copy(small, bits, scheme, calibration, reporter, file)

    whole = quantized_copy(small, bits, scheme, calibration)
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(41 + 10))  # in the third layer: the second is not counted
    resumed = Stopping(0)
    found = run(resumed)
    assert any("2 of 5 layers are done" in text for text in resumed.notes)
    assert resumed.left == -41  # the third layer; those after it are not counted
    assert list(found.weights) == list(whole.weights)
    for name, weight in whole.weights.items():
        assert found.weights[name].codes.equal(weight.codes)
        assert found.weights[name].scale.equal(weight.scale)
    for name, mine in found.model.named_parameters():
        assert mine.equal(whole.model.get_parameter(name)), name
    assert list((tmp_path / "Evaluation").iterdir()) == []


class Counting(Silent):
    """Counts what the bar of "Quantize" is told."""

    def track(self, items, title, total, weight=None):
        self.total, self.seen = total, 0
        for item in items:
            self.seen += 1
            yield item


@pytest.mark.parametrize(
    ("bits", "quantizer", "counted"),
    [((8, 4, 16, 3, 32), "auto", 2), ((8, 16, 8, 8, 32), "auto", 5), ((2, 8, 3, 16, 32), "learned", 2 * 41)],
)
def test_the_bar_counts_the_layers_that_take_time(small, calibration, quick, bits, quantizer, counted):
    bar, scheme = Counting(), Scheme(quantizer=quantizer, group_size=16)
    quantized_copy(small, outline_of(small).bits_by_name(bits), scheme, calibration, bar)
    assert (bar.total, bar.seen) == (counted, counted)


def test_a_learned_start_can_be_trained_on(start):
    weight, given = start
    linear = nn.Linear(128, 24)
    learn_step(linear, LearnedRounding(given, weight).freeze(), weight)
    assert linear.weight.equal(given.dequantize())
