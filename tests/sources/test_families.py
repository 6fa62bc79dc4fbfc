"""Every model type that transformers calls a text classifier is measured right, or refused before it runs."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as THEIRS

from bert_mpq import load
from bert_mpq.compute.batches import TokenizedReviews
from bert_mpq.compute.encoder import linear_names
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.export.formats import FORMATS
from bert_mpq.export.packed import pack_model
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.families import FAMILIES, REFUSED, family_of
from bert_mpq.sources.model_files import VOCABULARIES
from tests.helpers.families import CONFIGS, MODELS, VOCABULARY, classifier_of
from tests.helpers.naive_probe import check_propagated
from tests.helpers.quantized import quantized_at
from tests.helpers.workloads import on_cpu

LENGTHS = (12, 7, 12, 3, 9, 7, 1)


@pytest.fixture(scope="module")
def small_tokenizer(tmp_path_factory):
    """A folder with a tokenizer of as few words as the models know."""
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(VOCABULARY - 5)))
    (folder / "words.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "words.txt")).save_pretrained(folder / "saved")
    return folder / "saved"


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory, small_tokenizer):
    """A folder with a small random classifier."""
    path = tmp_path_factory.mktemp("families") / request.param.replace(", ", "_").replace(" ", "-")
    classifier_of(request.param).save_pretrained(path)
    return Path(shutil.copytree(small_tokenizer, path, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def loaded(folder):
    return load_classifier(find_classifier(str(folder)))


@pytest.fixture(scope="module")
def model(loaded):
    """The classifier in float64: what is left of a difference is not rounding."""
    return copy.deepcopy(loaded.model).double()


@pytest.fixture
def tokens(loaded):
    """Random reviews of a few lengths."""
    return tokens_of(LENGTHS, loaded)


def tokens_of(lengths, loaded):
    ids = np.random.default_rng(0).integers(10, VOCABULARY, sum(lengths)).astype(np.int32)
    return TokenizedReviews(
        ids=ids,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        labels=np.arange(len(lengths)) % 2,
        pad_id=loaded.model.config.pad_token_id,
        fingerprint="",
        padded=loaded.source.family.padded,
    )


def one_by_one(model, tokens):
    rows = [tokens.batch(np.array([index])) for index in range(len(tokens))]
    with torch.inference_mode():
        return torch.cat(
            [model(input_ids=row.input_ids, attention_mask=row.attention_mask).logits for row in rows]
        ).numpy()


def test_every_type_that_transformers_has_is_known():
    assert set(THEIRS) <= FAMILIES.keys() | REFUSED.keys()
    assert not FAMILIES.keys() & REFUSED.keys()
    assert FAMILIES.keys() == CONFIGS.keys()


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_type_that_cannot_be_measured_is_refused_before_anything_is_loaded(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(MpqError) as refused:
        find_classifier(str(tmp_path))
    assert refused.value.code == "E-MODEL"
    assert refused.value.title == f"{tmp_path} cannot be measured: {REFUSED[kind]}."
    assert refused.value.hint


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "bert", "is_decoder": True}, "it is a decoder, and this tool measures encoders"),
        (
            {"model_type": "deberta-v2", "conv_kernel_size": 3},
            "a convolution between its layers mixes what two of them give",
        ),
        (
            {"model_type": "nystromformer", "num_landmarks": 32},
            "its attention needs texts of one fixed length",
        ),
        ({"model_type": "xmod"}, "its config.json names no default_language"),
        ({"model_type": "yoso", "use_expectation": False}, "its attention hashes tokens by chance"),
        ({"model_type": "clip"}, "'clip' is no type of text encoder that this version knows"),
        ({"model_type": 3}, "its config.json names no model_type"),
        ({}, "its config.json names no model_type"),
    ],
)
def test_what_cannot_be_measured_of_a_type_that_can_is_refused(config, reason):
    with pytest.raises(ValueError, match=reason):
        family_of(config)


def test_the_weights_that_were_saved_are_loaded(folder, loaded):
    saved = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).state_dict()
    assert loaded.model.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[name]) for name, value in loaded.model.state_dict().items())


def test_a_batch_gives_the_logits_of_its_reviews_alone(model, tokens):
    got = evaluate(model, on_cpu(tokens, 40), Silent(), "")
    assert got.batches.largest > 1
    np.testing.assert_allclose(got.logits, one_by_one(model, tokens), rtol=0, atol=1e-6)


@pytest.mark.parametrize("folder", ["convbert", "fnet", "mobilebert", "nystromformer", "yoso"], indirect=True)
def test_only_types_that_need_it_are_run_without_padding(model, tokens):
    assert not tokens.padded
    together = evaluate(model, on_cpu(dataclasses.replace(tokens, padded=True), 400), Silent(), "")
    assert np.abs(together.logits - one_by_one(model, tokens)).max() > 1e-6


def test_the_one_pass_probe_equals_quantizing_one_layer_at_a_time(model, tokens):
    indices = np.arange(5) if tokens.padded else np.array([0, 2])
    batch = tokens.batch(indices)
    check_propagated(model, batch.input_ids, batch.attention_mask)


def test_the_hessians_of_a_batch_are_those_of_its_reviews_alone(model, tokens):
    if getattr(model.config, "relative_attention", False):
        pytest.skip("DeBERTa's table of positions is as long as the longest review of the batch")
    of_batches, of_reviews = (hessians(model, tokens, budget) for budget in (40, 1))
    assert of_batches.keys() == of_reviews.keys()
    for name, hessian in of_batches.items():
        if "_global" in name:  # Longformer's first token alone is read by these
            continue
        scale = float(of_reviews[name].matrix.abs().max()) or 1.0
        difference = float((hessian.matrix - of_reviews[name].matrix).abs().max())
        assert difference < 1e-5 * scale, name


def hessians(model, tokens, budget):
    """Return those of the second layer."""
    with LayerReviews(copy.deepcopy(model), on_cpu(tokens, budget)) as layers:
        return layers.hessians(1)


def test_gptq_runs(model, tokens):
    calibrated = quantized_at(model, (3, 3, 3), "gptq", None, on_cpu(tokens, 40))
    assert all(set(names) <= calibrated.weights.keys() for names in linear_names(model))
    rounded = quantized_at(model, (3, 3, 3), "rtn-mse", None)
    logits = one_by_one(calibrated.model, tokens)
    assert np.isfinite(logits).all()
    assert np.abs(logits - one_by_one(rounded.model, tokens)).max() > 1e-6


@pytest.mark.parametrize("name", ["mpq", "dense-fp16"])
def test_an_export_is_the_same_model_when_it_is_loaded_again(loaded, tokens, tmp_path, name):
    quantized = quantized_at(loaded.model, (16, 4, 3), "rtn", None)
    packed = pack_model(quantized.model, quantized.weights, quantized.bits, "fp32")
    FORMATS[name].write(tmp_path, packed, loaded.model, loaded.tokenizer, {})
    again = load(tmp_path) if name == "mpq" else FORMATS[name].load(tmp_path)
    tolerance = 0 if FORMATS[name].tolerance == 0 else 1e-2
    expected = one_by_one(quantized.model, tokens)
    np.testing.assert_allclose(one_by_one(again, tokens), expected, rtol=0, atol=tolerance)


def test_the_longest_review_that_is_allowed_can_be_read(loaded):
    tokens = tokens_of([loaded.source.positions], loaded)
    assert np.isfinite(one_by_one(loaded.model, tokens)).all()


def test_the_tokenizers_of_all_types_are_made_of_known_files():
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    for kind in FAMILIES:
        tokenizer = getattr(transformers, TOKENIZER_MAPPING_NAMES.get(kind) or "BertTokenizer")
        assert set(tokenizer.vocab_files_names.values()) & set(VOCABULARIES)
