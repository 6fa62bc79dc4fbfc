"""Predicted damage: known answers, an independent route; batches, replicas and stops change nothing."""

import copy
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.checkpoints import Checkpoints
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.differentiated_classifier import DifferentiatedClassifier
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.predicted import margin_divergence, predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import spearman
from bert_mpq.sensitivity.twins import Twins
from bert_mpq.settings.errors import MpqError
from tests.helpers.families import VOCABULARY, classifier_of
from tests.helpers.replicas import ReplicaMachine
from tests.helpers.workloads import on, on_cpu

PROBE = Probe(scope="propagated", pooling="mean", bits=(4, 2, 8), quantizer="rtn", group_size=None)
FAMILIES = ("bert", "roberta", "distilbert", "electra", "mpnet", "modernbert", "deberta-v2", "longformer")


class LinearClassifier(nn.Module):
    """Embeddings, a Linear a layer, the mean over tokens, two logits: the margin is linear in any weight."""

    def __init__(self, layers):
        super().__init__()
        self.config = SimpleNamespace(num_hidden_layers=layers, num_labels=2)
        self.table = nn.Embedding(50, 6)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6)) for _ in range(layers))
        self.head = nn.Linear(6, 2)

    def forward(self, input_ids, attention_mask):
        hidden = self.table(input_ids)
        for layer in self.layers:
            hidden = layer(hidden)
        weights = attention_mask[:, :, None].to(hidden.dtype)
        return SimpleNamespace(logits=self.head((hidden * weights).sum(1) / weights.sum(1)))


@pytest.fixture(scope="module")
def tokens(classifier, reviews):
    return tokenize(reviews.take(list(range(24))), classifier.tokenizer, 20, Silent())


@pytest.fixture(scope="module")
def predicted(tiny_model, tokens):
    return predict(tiny_model, on_cpu(tokens, 200), PROBE, Silent())


def padded_batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 50, (5, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    mask[4, 2:] = 0
    return ids, mask


def changes_of(module, ids, mask):
    """Return (B, units, widths)."""
    with torch.no_grad():
        return module(ids, mask)[:, 1:].reshape(len(ids), len(module.units), module.widths)


def margins_with(model, index, name, weight, ids, mask):
    """Return the margins of a copy with one weight replaced."""
    changed = copy.deepcopy(model)
    dict(linears(encoder_layers(changed)[index]))[name].weight.data = weight
    with torch.no_grad():
        logits = changed(input_ids=ids, attention_mask=mask).logits
    return logits[:, 1] - logits[:, 0]


def places(model):
    return [(i, name) for i, layer in enumerate(encoder_layers(model)) for name, _ in linears(layer)]


def test_it_is_exact_where_the_margin_is_linear_in_the_weight():
    torch.manual_seed(0)
    model = LinearClassifier(3).double()
    module = DifferentiatedClassifier(Twins.of(model, PROBE))
    ids, mask = padded_batch()
    found = changes_of(module, ids, mask)
    assert module.units == ("layer_0.0", "layer_1.0", "layer_2.0")
    for unit, (index, name) in enumerate(places(model)):
        own = model.layers[index].get_submodule(name).weight.data
        errors = module.model.layers[index].get_submodule(name).errors
        before = margins_with(model, index, name, own, ids, mask)
        for width in range(3):
            after = margins_with(model, index, name, own + errors[width], ids, mask)
            torch.testing.assert_close(found[:, unit, width], after - before, rtol=1e-12, atol=1e-14)


def test_it_is_the_limit_of_small_errors(tiny_model):
    model = copy.deepcopy(tiny_model).double()
    module = DifferentiatedClassifier(Twins.of(model, PROBE))
    ids, mask = padded_batch()
    found, step = changes_of(module, ids, mask)[:, :, 1], 1e-4
    stand_ins = [m for m in module.modules() if hasattr(m, "errors")]
    for unit, (index, name) in enumerate(places(model)):
        own, error = stand_ins[unit].layer.weight.data, stand_ins[unit].errors[1]
        up, down = (
            margins_with(model, index, name, own + sign * step * error, ids, mask) for sign in (1, -1)
        )
        slope = (up - down) / (2 * step)
        assert float((found[:, unit] - slope).abs().max()) <= 1e-6 * float(slope.abs().max())


def test_a_layer_changes_by_the_sum_of_its_linears(predicted):
    assert predicted.units[6] == "layer_1.attention.self.query"
    layers = predicted.of_units("layer")
    assert layers.shape == (24, 2, 3)
    np.testing.assert_allclose(layers[:, 1], predicted.changes[:, 6:].sum(1, dtype=np.float64), rtol=1e-12)
    assert (predicted.changes < 0).any()
    assert (predicted.changes > 0).any()
    losses = predicted.losses("layer")
    assert losses.shape == (2, 3)
    assert predicted.losses("linear").shape == (12, 3)


def test_the_divergence_is_that_of_the_logits():
    margins = np.array([-30.0, -2.0, 0.0, 0.5, 4.0])[:, None]
    changes = np.array([-50.0, -3.0, -0.3, -1e-3, 0.0, 1e-3, 0.9, 7.0, 50.0])[None]
    found = margin_divergence(margins, changes)

    def logits(m):
        return torch.from_numpy(np.stack(np.broadcast_arrays(np.zeros_like(m), m), -1))

    wanted = kl_of_logits(logits(margins + 0 * changes), logits(margins + changes)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-14)
    # tiny changes keep their digits: p (1 - p) dm^2 / 2
    assert margin_divergence(np.array([0.0]), np.array([1e-7]))[0] == pytest.approx(1.25e-15, rel=1e-6)


def test_padding_and_the_order_of_batches_change_nothing(tiny_model, tokens, predicted):
    alone = predict(tiny_model, on_cpu(tokens, 1), PROBE, Silent())  # one review at a time: no padding
    together = predict(tiny_model, on_cpu(tokens, 10**6), PROBE, Silent())
    for other in (alone, together):
        np.testing.assert_allclose(other.changes, predicted.changes, rtol=0, atol=1e-6)
        np.testing.assert_allclose(other.margins, predicted.margins, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_it_ranks_the_damage_in_every_family(name, tokens):
    model = classifier_of(name)
    tokens = dataclasses.replace(tokens, ids=10 + tokens.ids % (VOCABULARY - 10))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    probe = dataclasses.replace(PROBE, bits=(8,), granularity="linear")
    found = predict(model, on_cpu(tokens, 200), probe, Silent())
    owner = SimpleNamespace(model=model, source=SimpleNamespace(hidden=16))
    truth = measure(owner, on_cpu(tokens, 2000), probe, Silent(), blocks=1).kl
    losses = found.losses("linear")[:, 0]
    assert spearman(losses.tolist(), truth) > 0.95
    assert 0.8 < losses.sum() / sum(truth) < 1.25
    # the model is as it was
    assert not any(hasattr(module, "errors") for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_no_weight_requires_a_gradient_and_nothing_is_kept(tiny_model, tokens):
    module = DifferentiatedClassifier(Twins.of(tiny_model, PROBE))
    batch = tokens.batch(np.arange(4))
    with torch.no_grad():
        answer = module(batch.input_ids, batch.attention_mask)
    assert not answer.requires_grad
    assert not any(p.requires_grad or p.grad is not None for p in module.parameters())
    assert not any(torch.is_tensor(value) for each in module.modules() for value in vars(each).values())
    assert not vars(module._current)


def test_a_forward_pass_that_fails_leaves_nothing(tiny_model):
    module = DifferentiatedClassifier(Twins.of(tiny_model, PROBE))
    with pytest.raises(IndexError), torch.no_grad():
        module(torch.full((1, 3), 10**6), torch.ones(1, 3, dtype=torch.int64))
    assert not vars(module._current)


def test_replicas_give_what_one_copy_gives(tiny_model, tokens, predicted):
    replicated = predict(tiny_model, on(ReplicaMachine(), tokens, 200), PROBE, Silent())
    np.testing.assert_allclose(replicated.changes, predicted.changes, rtol=0, atol=1e-6)


def test_gptq_twins_need_reviews_and_do_less_damage(tiny_model, tokens):
    probe = dataclasses.replace(PROBE, bits=(2,), quantizer="gptq")
    with_reviews = predict(tiny_model, on_cpu(tokens), probe, Silent(), calibration=on_cpu(tokens))
    without = predict(tiny_model, on_cpu(tokens), probe, Silent())
    assert with_reviews.losses("linear").sum() < without.losses("linear").sum()


class Stops(Silent):
    """Fails after some batches, as Ctrl-C does."""

    def __init__(self):
        self.notes = []

    def track(self, items, title, total, weight=None):
        for index, item in enumerate(items):
            if title == "Predict the damage" and index == 2:
                raise KeyboardInterrupt
            yield item

    def note(self, text):
        self.notes.append(text)


def test_a_stopped_pass_goes_on_to_the_last_bit(tiny_model, tokens, predicted, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        Checkpoints(str(tmp_path), "Sensitivities", 0.0, Silent()) as checkpoints,
    ):
        predict(tiny_model, on_cpu(tokens, 200), PROBE, Stops(), checkpoints=checkpoints)
    reporter = Stops()
    reporter.track = Silent().track
    with Checkpoints(str(tmp_path), "Sensitivities", 0.0, reporter) as checkpoints:
        resumed = predict(tiny_model, on_cpu(tokens, 200), PROBE, reporter, checkpoints=checkpoints)
    assert any("going on from a checkpoint" in note for note in reporter.notes)
    assert np.array_equal(resumed.changes, predicted.changes)


def test_out_of_memory_halves_the_batch(tiny_model, tokens, predicted, monkeypatch):
    forward = DifferentiatedClassifier.forward

    def small(self, input_ids, attention_mask):
        if input_ids.numel() > 100:
            raise RuntimeError("CUDA out of memory")
        return forward(self, input_ids, attention_mask)

    monkeypatch.setattr(DifferentiatedClassifier, "forward", small)
    halved = predict(tiny_model, on_cpu(tokens, 200), PROBE, Silent())
    assert halved.batches.budget <= 100
    np.testing.assert_allclose(halved.changes, predicted.changes, rtol=0, atol=1e-6)


def test_more_labels_are_refused(tokens):
    model = LinearClassifier(1)
    model.config.num_labels = 3
    with pytest.raises(MpqError, match="two labels; the model has 3") as error:
        predict(model, on_cpu(tokens), PROBE, Silent())
    assert error.value.code == "E-MODEL"


def test_a_model_that_gives_nan_is_refused(tiny_model, tokens):
    broken = copy.deepcopy(tiny_model)
    broken.classifier.bias.data[:] = math.nan
    with pytest.raises(MpqError, match="NaN") as error:
        predict(broken, on_cpu(tokens), PROBE, Silent())
    assert error.value.code == "E-MODEL"


def test_the_default_budget_of_a_cpu_is_that_of_a_forward_pass(tokens):
    machine = pick_machine("cpu")
    assert on_cpu(tokens).gradient_tokens == machine.batch_tokens
    assert on_cpu(tokens, 99).gradient_tokens == 99
