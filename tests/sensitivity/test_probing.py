"""The one-pass probe against the naive way: quantize one layer in a copy of the model, run it, compare."""

import copy
import dataclasses
import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, DebertaV2Config

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.probed_layer import ProbedLayer
from bert_mpq.sensitivity.twins import Twins
from tests.helpers.naive_probe import (
    assert_close,
    check_propagated,
    layer_outputs,
    probe,
    quantized,
    random_batch,
)
from tests.helpers.quantized import quantize_whole
from tests.helpers.workloads import on_cpu

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
BERT = BertConfig(vocab_size=500, num_labels=2, **TINY)
DEBERTA = DebertaV2Config(
    vocab_size=500,
    num_labels=2,
    relative_attention=True,
    max_relative_positions=16,
    position_buckets=8,
    pos_att_type=["p2c", "c2p"],
    **TINY,
)


@pytest.fixture(scope="module")
def batch(classifier, reviews):
    tokens = tokenize(reviews.take(list(range(4))), classifier.tokenizer, 24, Silent())
    made = tokens.batch(tokens.plan(10**6)[0])
    made.attention_mask[0, 5:] = 0  # uneven lengths, whatever the reviews
    return made.input_ids, made.attention_mask


@pytest.fixture(scope="module")
def model(classifier):
    """The embedded classifier in float64: what is left of a difference is not rounding."""
    return copy.deepcopy(classifier.model).double()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_propagated_probe_equals_quantizing_one_layer_at_a_time(model, batch, pooling):
    check_propagated(model, *batch, pooling)


@pytest.mark.parametrize("rows", [1, 16])
def test_tables_of_relative_positions_are_not_taken_for_reviews(rows):
    """DeBERTa hands its layers a table of 16 positions and one matrix for the whole batch."""
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_config(DEBERTA).double().eval()
    ids, mask = random_batch()
    check_propagated(model, ids.repeat(4, 1)[:rows], mask.repeat(4, 1)[:rows])


class TupleLayer(nn.Module):
    """An encoder layer of transformers before 5.0: it returns a tuple."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, hidden, mask):
        return (self.layer(hidden, mask), "attentions")


class TupleClassifier(nn.Module):
    """A classifier whose encoder takes the first item of what its layers return."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.bert = AutoModelForSequenceClassification.from_config(BERT).double().eval()
        self.config = self.bert.config
        self.layers = nn.ModuleList(TupleLayer(layer) for layer in self.bert.bert.encoder.layer)
        self.bert.bert.encoder = nn.Identity()

    def forward(self, input_ids, attention_mask):
        hidden = self.bert.bert.embeddings(input_ids)
        mask = attention_mask[:, None, None, :].bool().expand(-1, 1, hidden.shape[1], -1)
        for layer in self.layers:
            hidden, rest = layer(hidden, mask)
            assert rest == "attentions"
        return SimpleNamespace(logits=self.bert.classifier(self.bert.bert.pooler(hidden)))


def test_an_encoder_whose_layers_return_tuples_can_be_probed():
    check_propagated(TupleClassifier().eval(), *random_batch())


def test_isolated_probe_quantizes_each_layer_on_the_fp32_input(model, batch):
    ids, mask = batch
    with torch.inference_mode():
        reference, perturbed, logits = ProbedClassifier(Twins.of(model, probe("isolated")))(ids, mask)
        plain, plain_logits = layer_outputs(model, ids, mask)
        assert_close(logits[:, 0], plain_logits)
        assert logits.shape[1] == 1
        for index in range(len(plain)):
            outputs, _ = layer_outputs(quantized(model, [index]), ids, mask)
            assert_close(reference[:, index], plain[index])
            assert_close(perturbed[:, index], outputs[index])


def test_cumulative_probe_compares_every_layer_of_the_quantized_model(model, batch):
    ids, mask = batch
    with torch.inference_mode():
        reference, perturbed, logits = ProbedClassifier(Twins.of(model, probe("cumulative")))(ids, mask)
        plain, plain_logits = layer_outputs(model, ids, mask)
        outputs, naive_logits = layer_outputs(quantized(model, range(6)), ids, mask)
    for index in range(6):
        assert_close(reference[:, index], plain[index])
        assert_close(perturbed[:, index], outputs[index])
    assert_close(logits, torch.stack([plain_logits, naive_logits], 1))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(3)
    return AutoModelForSequenceClassification.from_config(BERT).double().eval()


def test_several_widths_in_one_pass_equal_one_pass_for_each(small):
    ids, mask = random_batch()
    for scope in ("propagated", "isolated", "cumulative"):
        with torch.inference_mode():
            reference, perturbed, logits = ProbedClassifier(Twins.of(small, probe(scope, bits=(2, 8, 4))))(
                ids, mask
            )
            for twin, bits in enumerate((2, 8, 4)):
                one = ProbedClassifier(Twins.of(small, probe(scope, bits=(bits,))))(ids, mask)
                assert_close(reference, one[0])
                assert_close(perturbed[:, twin::3], one[1])
                own = [0] if scope == "isolated" else [0, *range(1 + twin, logits.shape[1], 3)]
                assert_close(logits[:, own], one[2])


def test_each_linear_module_is_quantized_by_itself(small):
    ids, mask = random_batch()
    with torch.inference_mode():
        module = ProbedClassifier(Twins.of(small, probe(bits=(4, 2), granularity="linear")))
        reference, perturbed, logits = module(ids, mask)
        plain, plain_logits = layer_outputs(small, ids, mask)
        assert_close(reference[:, 0], plain[-1])
        assert_close(logits[:, 0], plain_logits)
        index = 0
        for number, layer in enumerate(encoder_layers(small)):
            for name, _ in linears(layer):
                for bits in (4, 2):
                    changed = copy.deepcopy(small)
                    linear = encoder_layers(changed)[number].get_submodule(name)
                    quantize_whole(linear, bits, "rtn", 32)
                    outputs, naive_logits = layer_outputs(changed, ids, mask)
                    assert_close(perturbed[:, index], outputs[-1])
                    assert_close(logits[:, 1 + index], naive_logits)
                    index += 1
        assert index == module.probes == perturbed.shape[1] == 3 * 6 * 2


@pytest.mark.parametrize("scope", ["propagated", "isolated"])
def test_some_of_the_units_give_what_they_give_among_all(small, scope):
    ids, mask = random_batch()
    chosen = [1, 4, 14]  # none in the second layer
    every = probe(scope, granularity="linear")
    some = dataclasses.replace(every, chosen=frozenset(chosen))
    with torch.inference_mode():
        reference, perturbed, logits = ProbedClassifier(Twins.of(small, some))(ids, mask)
        references, columns, all_logits = ProbedClassifier(Twins.of(small, every))(ids, mask)
    assert_close(perturbed, columns[:, chosen])
    layers = [0, 0, 2] if scope == "isolated" else [0]
    assert_close(reference, references[:, layers])
    if scope == "propagated":
        assert_close(logits, all_logits[:, [0, *(1 + unit for unit in chosen)]])


@pytest.mark.parametrize("scope", ["propagated", "isolated", "cumulative"])
def test_without_pooling_the_mean_over_the_tokens_is_the_pooled_row(small, scope):
    ids, mask = random_batch()
    with torch.inference_mode():
        pooled = ProbedClassifier(Twins.of(small, probe(scope, bits=(8, 2))))(ids, mask)
        tokens = ProbedClassifier(Twins.of(small, probe(scope, "none", bits=(8, 2))))(ids, mask)
    weights = mask[:, None, :, None] / mask.sum(1)[:, None, None, None]
    for rows, vectors in zip(pooled[:2], tokens[:2], strict=True):
        assert_close((vectors * weights).sum(2), rows)
    assert_close(tokens[2], pooled[2])


def test_twins_share_every_weight_that_is_not_quantized(small):
    module = ProbedClassifier(Twins.of(small, probe(bits=(4, 2), granularity="linear")))
    for layer in (each for each in module.modules() if isinstance(each, ProbedLayer)):
        own = dict(layer.layer.named_parameters())
        for twin in layer.twins:
            theirs = dict(twin.named_parameters())
            differing = [name for name in own if theirs[name] is not own[name]]
            assert len(differing) == 1
            assert not torch.equal(theirs[differing[0]], own[differing[0]])


def test_replicas_on_parts_of_a_batch_give_the_same_as_one_copy(model, batch):
    """What DataParallel does: shallow replicas, scattered inputs, gathered outputs."""
    ids, mask = batch
    module = ProbedClassifier(Twins.of(model, probe()))
    replicas = [copy.copy(module), copy.deepcopy(module)]
    with torch.inference_mode():
        whole = module(ids, mask)
        parts = [r(i, m) for r, i, m in zip(replicas, ids.chunk(2), mask.chunk(2), strict=True)]
    for index, expected in enumerate(whole):
        assert_close(torch.cat([part[index] for part in parts]), expected)


def test_probing_leaves_the_model_as_it_was(classifier, batch):
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    with torch.inference_mode():
        ProbedClassifier(Twins.of(classifier.model, probe()))(*batch)
    after = classifier.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_data_parallel_equals_one_gpu(classifier, batch):
    module = ProbedClassifier(Twins.of(classifier.model, probe())).cuda()
    ids, mask = (tensor.cuda() for tensor in batch)
    with torch.inference_mode():
        for one, two in zip(module(ids, mask), nn.DataParallel(module)(ids, mask), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


@pytest.mark.parametrize("granularity", ["layer", "linear"])
def test_twins_of_another_probe_are_those_that_quantizing_gives(small, classifier, reviews, granularity):
    tokens = tokenize(reviews.take(list(range(20))), classifier.tokenizer, 12, Silent())
    tokens = dataclasses.replace(tokens, ids=tokens.ids % 500)  # of the small vocabulary
    model, calibration = copy.deepcopy(small).float(), on_cpu(tokens, 1000)
    whole = dataclasses.replace(probe(), bits=(8, 4, 2), quantizer="gptq")
    chosen = frozenset({1, 3, 4, 17} if granularity == "linear" else {0, 2})
    asked = dataclasses.replace(whole, bits=(2, 8), granularity=granularity, chosen=chosen, scope="isolated")
    twins = Twins.of(model, whole, calibration)
    found = twins.for_probe(asked)
    expected = Twins.of(model, asked, calibration)
    assert found.probe == asked
    assert [len(made) for made in found.layers] == [len(made) for made in expected.layers]
    for made, direct in zip(found.layers, expected.layers, strict=True):
        for twin, other in zip(made, direct, strict=True):
            assert all(a.equal(b) for a, b in zip(twin.parameters(), other.parameters(), strict=True))
    parts = [twins.model, *itertools.chain(*twins.layers)]
    known = {id(weight) for part in parts for weight in part.parameters()}
    assert all(id(weight) in known for made in found.layers for twin in made for weight in twin.parameters())
    with pytest.raises(ValueError, match="twins of all layers"):
        found.for_probe(whole)
    with pytest.raises(ValueError, match="another quantizer"):
        twins.for_probe(dataclasses.replace(asked, quantizer="rtn"))
