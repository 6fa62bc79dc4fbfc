"""Hessians of every encoder family against plain hooks on the whole model."""

import copy

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    RobertaConfig,
)

from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.quantization.calibration import LayerReviews, input_products
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.twins import Twins
from tests.helpers.quantized import quantize_whole, quantized_at
from tests.helpers.workloads import on_cpu

TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGS = {
    "bert": BertConfig(vocab_size=500, **TINY),
    "roberta": RobertaConfig(vocab_size=500, max_position_embeddings=130, pad_token_id=1, **TINY),
    "electra": ElectraConfig(vocab_size=500, embedding_size=16, **TINY),
    "mpnet": MPNetConfig(vocab_size=500, max_position_embeddings=130, **TINY),
    "distilbert": DistilBertConfig(vocab_size=500, dim=32, n_layers=3, n_heads=4, hidden_dim=64),
    # As DeBERTa-v3 has it, and with the convolution after the first layer of DeBERTa-v2-xlarge.
    "deberta": DebertaV2Config(
        vocab_size=500,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        conv_kernel_size=3,
        **TINY,
    ),
}


def random_model(kind):
    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_config(CONFIGS[kind]).eval()


@pytest.fixture(scope="module")
def calibration():
    """Nine random reviews of uneven length, in batches of a few."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 14, 9)
    tokens = TokenizedReviews(
        ids=rng.integers(5, 500, int(lengths.sum())).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.zeros(9, dtype=np.int64),
        pad_id=1,
        fingerprint="0" * 64,
    )
    return on_cpu(tokens, 40)


def hooked_hessians(model, tokens, index):
    """X^T X of every Linear of a layer, one review at a time: no padding, no batches, nothing skipped."""
    sums = {}

    def hook(name):
        def add(_module, args):
            rows = args[0].double().reshape(-1, args[0].shape[-1])
            sums[name] = sums.get(name, 0) + rows.T @ rows

        return add

    handles = [
        module.register_forward_pre_hook(hook(name)) for name, module in linears(encoder_layers(model)[index])
    ]
    with torch.no_grad():
        for review in range(len(tokens)):
            batch = tokens.batch(np.array([review]))
            model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    for handle in handles:
        handle.remove()
    return sums


@pytest.mark.parametrize("kind", CONFIGS)
def test_hessians_are_those_of_the_inputs_that_quantized_layers_give(kind, calibration):
    model = random_model(kind)
    plain = copy.deepcopy(model)
    with LayerReviews(model, calibration) as source:
        for index in range(3):
            found = source.hessians(index)
            expected = hooked_hessians(plain, calibration.tokens, index)
            assert found.keys() == expected.keys()
            for name, hessian in found.items():
                torch.testing.assert_close(hessian.matrix, expected[name], rtol=1e-4, atol=1e-3)
            for changed in (model, plain):
                layers = source.layers if changed is model else encoder_layers(changed)
                quantize_whole(layers[index], 3, "rtn", 32)


@pytest.mark.parametrize("kind", CONFIGS)
def test_linears_that_read_the_same_input_share_one_hessian(kind, calibration):
    model = random_model(kind)
    with LayerReviews(model, calibration) as source:
        found = list(source.hessians(1).values())
    assert len(found) == 6
    assert len(set(map(id, found))) == (5 if kind == "deberta" else 4)
    # Query and key of DeBERTa read the relative positions too, value does not.
    assert found[0] is found[1]
    assert (found[1] is found[2]) == (kind != "deberta")


def test_layers_left_out_are_run_all_the_same(calibration):
    model = random_model("mpnet")
    with LayerReviews(model, calibration) as source:
        found = source.hessians(2)
    expected = hooked_hessians(model, calibration.tokens, 2)
    for name, hessian in found.items():
        torch.testing.assert_close(hessian.matrix, expected[name], rtol=1e-4, atol=1e-3)


def test_the_model_is_whole_again_afterwards(calibration):
    model = random_model("bert")
    before = dict(model.named_parameters())
    layers = encoder_layers(model)
    with LayerReviews(model, calibration) as source:
        source.hessians(0)
    assert encoder_layers(model) is layers
    assert dict(model.named_parameters()).keys() == before.keys()
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_batch_size_changes_nothing_but_rounding(calibration):
    matrices = []
    for batch_tokens in (14, 1000):
        other = on_cpu(calibration.tokens, batch_tokens)
        with LayerReviews(random_model("deberta"), other) as source:
            matrices.append([hessian.matrix for hessian in source.hessians(1).values()])
    for first, second in zip(*matrices, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-3)


def test_running_out_of_memory_in_the_middle_changes_nothing(calibration):
    """The second try of a batch must start from the inputs of the layer it resumes from."""
    model, plain, failed = random_model("bert"), random_model("bert"), []

    def fail_once(_module, args):
        if len(args[0]) > 1 and not failed:
            failed.append(1)
            raise RuntimeError("out of memory")

    with LayerReviews(model, calibration) as source:
        source.hessians(0)
        handle = source.layers[1].register_forward_pre_hook(fail_once)
        found = source.hessians(1)
        handle.remove()
    assert failed
    expected = hooked_hessians(plain, calibration.tokens, 1)
    for name, hessian in found.items():
        torch.testing.assert_close(hessian.matrix, expected[name], rtol=1e-4, atol=1e-3)


def test_padding_is_left_out_and_a_shared_input_counts_once_for_each_review():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    tokens = torch.tensor([[[1.0], [2.0], [9.0]], [[3.0], [9.0], [9.0]]])
    shared = torch.tensor([[[5.0], [1.0]]])
    products = input_products([(tokens, ["query", "key"]), (shared, ["key"])], mask)
    assert {names: product.item() for names, product in products.items()} == {
        ("query", "key"): 14.0,
        ("key",): 52.0,
    }


@pytest.mark.parametrize("granularity", ["layer", "linear"])
def test_probes_are_quantized_on_fp32_inputs(calibration, granularity):
    model = random_model("bert")
    probe = Probe(
        scope="propagated",
        pooling="mean",
        bits=(3,),
        quantizer="gptq",
        group_size=32,
        granularity=granularity,
    )
    probed = encoder_layers(ProbedClassifier(Twins.of(model, probe, calibration)).model)
    for index, original in enumerate(encoder_layers(model)):
        matrices = hooked_hessians(model, calibration.tokens, index)
        hessians = {name: Hessian(matrix=matrix) for name, matrix in matrices.items()}
        expected = copy.deepcopy(original)
        quantize_whole(expected, 3, "gptq", 32, hessians)
        for position, (name, linear) in enumerate(linears(expected)):
            twin = probed[index].twins[position if granularity == "linear" else 0]
            assert (twin.get_submodule(name).weight == linear.weight).float().mean() > 0.99
            assert probed[index].layer.get_submodule(name).weight.equal(original.get_submodule(name).weight)


def test_quantizing_with_a_calibration_is_the_same_every_time(calibration):
    first, second = (
        quantized_at(random_model("electra"), (2, 3, 4), "gptq", 32, calibration).weights for _ in range(2)
    )
    assert all(first[name].codes.equal(second[name].codes) for name in first)
    assert all(first[name].scale.equal(second[name].scale) for name in first)


def test_gptq_gives_a_model_closer_to_the_original_than_rounding(classifier, reviews):
    from bert_mpq.compute.batches import tokenize
    from bert_mpq.compute.reporting import Silent

    tokens = tokenize(reviews.take(list(range(48))), classifier.tokenizer, 24, Silent())
    calibration = on_cpu(tokens, 1024)
    test = tokenize(reviews.take(list(range(64, 112))), classifier.tokenizer, 24, Silent())
    batch = test.batch(np.arange(48))
    errors = []
    with torch.inference_mode():
        wanted = classifier.model(batch.input_ids, batch.attention_mask).logits
        for name in ("rtn", "auto"):
            quantized = quantized_at(classifier.model, (2, *[32] * 5), name, 64, calibration).model
            errors.append((quantized(batch.input_ids, batch.attention_mask).logits - wanted).square().mean())
    assert errors[1] < 0.7 * errors[0]
