"""Weights that took reviews to make are kept beside the run record."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Silent
from bert_mpq.export.layout import keep_weights, restored
from bert_mpq.export.packed import pack_model
from bert_mpq.records.reading import read_evaluation
from bert_mpq.runs.evaluated_model import evaluated_model
from bert_mpq.runs.job import Job
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from tests.helpers.quantized import quantized_at


@pytest.fixture
def trained(tiny_model):
    """A quantized model after some training: other codes, another bias, another classifier."""
    quantized = quantized_at(tiny_model, (8, 16), "rtn", None, embeddings="fp16")
    weights = {
        name: dataclasses.replace(weight, codes=(weight.codes + 1).clamp(max=127))
        for name, weight in quantized.weights.items()
    }
    state = {f"{name}.weight": weight.dequantize() for name, weight in weights.items()}
    state["classifier.weight"] = quantized.model.classifier.weight + 0.25
    state["bert.encoder.layer.1.output.dense.bias"] = torch.full((16,), 0.5)
    quantized.model.load_state_dict(state, strict=False)
    return dataclasses.replace(quantized, weights=weights)


def test_kept_weights_give_the_trained_model_back(trained, tiny_model, tmp_path):
    path = keep_weights(tmp_path, "eval", trained, tiny_model, "fp16")
    assert path.name == "eval.safetensors"
    packed = restored(tiny_model, path, trained.bits, "fp16")
    assert weights_fingerprint(packed.state()) == weights_fingerprint(trained.model.state_dict())
    expected = pack_model(trained.model, trained.weights, trained.bits, "fp16")
    assert {name: tensor.dtype for name, tensor in packed.tensors.items()} == {
        name: tensor.dtype for name, tensor in expected.tensors.items()
    }


def test_only_what_has_changed_is_kept(trained, tiny_model, tmp_path):
    path = keep_weights(tmp_path, "eval", trained, tiny_model, "fp16")
    with safe_open(path, framework="pt") as opened:
        names = set(opened.keys())
    assert {"classifier.weight", "bert.encoder.layer.1.output.dense.bias"} <= names
    assert "classifier.bias" not in names
    assert "bert.encoder.layer.0.output.LayerNorm.weight" not in names
    assert "bert.encoder.layer.1.attention.self.key.weight" not in names  # rounding makes it again
    assert "bert.embeddings.word_embeddings.weight" not in names


def test_kept_files_never_overwrite_each_other(trained, tiny_model, tmp_path):
    first = keep_weights(tmp_path, "eval", trained, tiny_model, "fp16")
    assert keep_weights(tmp_path, "eval", trained, tiny_model, "fp16") != first


@pytest.fixture
def kept_record(record, trained, tiny_model, tmp_path):
    """A run record that names kept weights."""
    path = keep_weights(tmp_path, "eval", trained, tiny_model, "fp16")
    content = json.loads(record.read_text())
    content["allocation"]["bits"], content["config"]["embeddings"] = [8, 16], "fp16"
    content["weights_file"] = path.name
    content["weights_fingerprint"] = weights_fingerprint(trained.model.state_dict())
    (tmp_path / "eval.json").write_text(json.dumps(content))
    return tmp_path / "eval.json"


def test_a_record_with_kept_weights_is_not_quantized_again(kept_record, trained):
    evaluated = evaluated_model(read_evaluation(kept_record), Session(), Silent())
    assert torch.equal(evaluated.model.classifier.weight, trained.model.classifier.weight)


def test_weights_of_gptq_are_kept_and_exported_as_they_were(evaluate, tmp_path, monkeypatch):
    record = evaluate(bits=(16, 4), quantizer="gptq", gptq_reviews=8, embeddings="fp16")
    read = read_evaluation(record)
    kept = record.with_name(read.result.weights_file)
    assert kept.name == f"{record.stem}.safetensors"
    monkeypatch.setattr("bert_mpq.runs.evaluated_model.quantized_copy", None)  # nothing is quantized again
    evaluated = evaluated_model(read, Session(), Silent())
    assert weights_fingerprint(evaluated.model.state_dict()) == read.result.weights_fingerprint


def test_weights_that_gptq_had_no_reviews_for_are_rounded_again(evaluate, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Job, "calibration", lambda *_: None)
        read = read_evaluation(evaluate(bits=(8, 4), quantizer="gptq"))
    assert read.result.weights_file == ""
    evaluated = evaluated_model(read, Session(), Silent())  # now there are reviews
    assert weights_fingerprint(evaluated.model.state_dict()) == read.result.weights_fingerprint


def test_weights_that_rounding_makes_again_are_not_kept(record):
    assert read_evaluation(record).result.weights_file == ""
    assert not record.with_name(f"{record.stem}.safetensors").exists()


def test_kept_weights_that_are_gone_or_of_another_model_are_refused(kept_record, tiny_model, tmp_path):
    import copy

    kept = tmp_path / "eval.safetensors"
    other = copy.deepcopy(tiny_model)
    other.bert.encoder.layer = other.bert.encoder.layer[:1]
    with pytest.raises(MpqError, match="is of another model") as refused:
        restored(other, kept, {}, "fp32")
    assert refused.value.code == "E-MODEL"
    kept.unlink()
    with pytest.raises(MpqError, match="No model file at") as refused:
        evaluated_model(read_evaluation(kept_record), Session(), Silent())
    assert refused.value.code == "E-NOFILE"
