"""Weights as people have them: the same numbers, whatever the files."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.checkpoints import read_safetensors, shard_names, weights_in
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.pickles import converted_folder
from tests.helpers.checkpoint_variants import VARIANTS, pickle_in_shards, safetensors_in_shards
from tests.helpers.workloads import on_cpu


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_of(tmp_path, model, tokenizer_files, write):
    """Return a folder with ``model``, its weights as ``write`` writes them."""
    folder = tmp_path / "model"
    folder.mkdir()
    model.config.save_pretrained(folder)
    for file in tokenizer_files:
        shutil.copy(file, folder)
    write(folder, model.state_dict())
    return folder


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_numbers_come_out_of_every_form(tmp_path, tiny_model, tokenizer_files, variant):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, VARIANTS[variant])
    loaded = load_classifier(find_classifier(str(folder)))
    expected = tiny_model.state_dict()
    assert loaded.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.model.state_dict().items())


@pytest.mark.parametrize("variant", ["safetensors_in_shards", "pickle", "old_pickle", "pickle_in_shards"])
def test_the_accuracy_is_the_same_to_the_last_digit(tmp_path, classifier, reviews, tokenizer_files, variant):
    tokens = tokenize(reviews.take(list(range(40))), classifier.tokenizer, 48, Silent())
    expected = evaluate(classifier.model, on_cpu(tokens, 2_048), Silent(), "")
    folder = folder_of(tmp_path, classifier.model, tokenizer_files, VARIANTS[variant])
    loaded = load_classifier(find_classifier(str(folder)))
    got = evaluate(loaded.model, on_cpu(tokens, 2_048), Silent(), "")
    assert (got.accuracy.accuracy, got.accuracy.loss) == (expected.accuracy.accuracy, expected.accuracy.loss)
    assert (got.logits == expected.logits).all()


@pytest.mark.parametrize("variant", ["safetensors", "pickle", "safetensors_in_shards"])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_give_exactly_what_they_are_in_fp32(
    tmp_path, tiny_model, tokenizer_files, variant, kind
):
    def write(folder, state):
        cast = {name: value.to(kind) if value.is_floating_point() else value for name, value in state.items()}
        VARIANTS[variant](folder, cast)

    folder = folder_of(tmp_path, tiny_model, tokenizer_files, write)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": str(kind).removeprefix("torch.")}))
    loaded = load_classifier(find_classifier(str(folder)))
    for name, value in tiny_model.state_dict().items():
        found = loaded.model.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, value.to(kind).float())


def test_transformers_itself_loads_the_same(tmp_path, tiny_model, tokenizer_files):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, safetensors_in_shards)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder)
    ours = load_classifier(find_classifier(str(folder))).model
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_a_pickle_is_converted_once(tmp_path, tiny_model, tokenizer_files, monkeypatch):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, VARIANTS["pickle"])
    first = load_classifier(find_classifier(str(folder)))
    (converted,) = converted_folder().iterdir()
    assert load_file(converted).keys() == tiny_model.state_dict().keys()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("read again"))
    again = load_classifier(find_classifier(str(folder)))
    assert first.weights == again.weights == "pytorch_model.bin, converted to safetensors"


def test_another_pickle_under_the_same_name_is_converted_anew(tmp_path, tiny_model, tokenizer_files):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, VARIANTS["pickle"])
    load_classifier(find_classifier(str(folder)))
    changed = {name: value + 1 for name, value in tiny_model.state_dict().items()}
    VARIANTS["pickle"](folder, changed)
    loaded = load_classifier(find_classifier(str(folder)))
    assert torch.equal(loaded.model.classifier.bias, changed["classifier.bias"])
    assert len(list(converted_folder().iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, tiny_model, tokenizer_files, cache):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, pickle_in_shards)
    cache.write_bytes(b"a file where the folder should be")
    loaded = load_classifier(find_classifier(str(folder)))
    assert torch.equal(loaded.model.classifier.weight, tiny_model.classifier.weight)


def test_parameters_are_counted_over_all_shards(tmp_path, tiny_model, tokenizer_files):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, safetensors_in_shards)
    source = find_classifier(str(folder))
    assert source.parameters == sum(parameter.numel() for parameter in tiny_model.parameters())


def test_the_weights_are_named(tmp_path, tiny_model, tokenizer_files):
    folder = folder_of(tmp_path, tiny_model, tokenizer_files, safetensors_in_shards)
    assert load_classifier(find_classifier(str(folder))).weights == "model.safetensors in 3 shards"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it is not valid JSON"),
        ("[]", "it has no weight_map"),
        ('{"weight_map": {}}', "it has no weight_map"),
        ('{"weight_map": {"a": 3}}', "it names files that cannot be beside it"),
        ('{"weight_map": {"a": []}}', "it names files that cannot be beside it"),
        ('{"weight_map": {"a": "../model.safetensors"}}', "it names files that cannot be beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "it names files that cannot be beside it"),
        ('{"weight_map": {"a": ""}}', "it names files that cannot be beside it"),
        (f'{{"weight_map": {{"a": "{"x" * 300}"}}}}', "it names files that cannot be beside it"),
    ],
)
def test_a_broken_index_is_refused(tmp_path, content, reason):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    with pytest.raises(MpqError) as refused:
        shard_names(index)
    assert refused.value.code == "E-MODEL"
    assert refused.value.title == f"{index.name} cannot be used: {reason}."


def test_a_shard_that_is_not_there_is_named(tmp_path, tiny_model):
    safetensors_in_shards(tmp_path, tiny_model.state_dict())
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(MpqError) as refused:
        weights_in(tmp_path)
    title = "model.safetensors.index.json names model-00002-of-00003.safetensors, which is not there."
    assert (refused.value.code, refused.value.title) == ("E-MODEL", title)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    files = tuple(tmp_path / name for name in ("a.safetensors", "b.safetensors"))
    for file in files:
        save_file({"same": torch.ones(2)}, file)
    with pytest.raises(MpqError, match="same stands in another shard, too"):
        read_safetensors(files)


def test_a_folder_without_weights_has_none(tmp_path):
    assert weights_in(tmp_path) is None
