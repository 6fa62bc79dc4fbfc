import json

import pytest
import torch

import bert_mpq
from bert_mpq.export.formats.mpq import Mpq
from bert_mpq.export.layout import encoded
from bert_mpq.export.packed import PackedModel
from bert_mpq.quantization.embeddings import quantized_tables
from bert_mpq.settings.errors import MpqError
from tests.helpers.export_cases import packed_pair


def folder_of(packed, model, folder):
    folder.mkdir()
    model.config.save_pretrained(folder)
    (folder / Mpq.weights_file).write_bytes(encoded(packed, {}))
    return folder


def test_a_loaded_model_answers_as_the_quantized_one(packed_case, tmp_path, answers):
    model, packed = packed_case
    loaded = bert_mpq.load(folder_of(packed, model, tmp_path / "exported"))
    assert not loaded.training
    assert loaded.dtype == torch.float32
    assert torch.equal(answers(loaded), answers(model))


@pytest.mark.parametrize("embeddings", ["int8", "int4"])
def test_embeddings_of_few_bits_are_loaded(tiny_model, tmp_path, answers, embeddings):
    model, packed = packed_pair(tiny_model, (8, 2), embeddings=embeddings)
    loaded = bert_mpq.load(str(folder_of(packed, model, tmp_path / "exported")))
    assert torch.equal(answers(loaded), answers(model))


def test_a_file_whose_int8_embeddings_were_made_by_an_export_is_loaded(packed_model, tmp_path, answers):
    """Exports used to round the tables of an evaluation in FP32: such a file has this layout too."""
    model, packed = packed_model
    tables = quantized_tables(model, "int8")
    plain = {name: tensor for name, tensor in packed.tensors.items() if name[: -len(".weight")] not in tables}
    old = PackedModel(weights={**packed.weights, **tables}, tensors=plain)
    loaded = bert_mpq.load(str(folder_of(old, model, tmp_path / "exported")))
    model.load_state_dict(old.state())
    assert torch.equal(answers(loaded), answers(model))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hidden_size", 32, "bert.embeddings.LayerNorm.bias does not fit config.json"),
        ("vocab_size", 10**12, "bert.embeddings.word_embeddings.weight does not fit config.json"),
        ("num_hidden_layers", 10**9, "config.json is of another model"),
        ("num_hidden_layers", 1, "bert.encoder.layer.1.attention.output.LayerNorm.bias does not fit"),
        ("num_hidden_layers", "many", "is no valid model file"),
        ("num_attention_heads", 3, "is no valid model file"),
        ("model_type", "no-such-model", "is no valid model file"),
        ("auto_map", {"AutoConfig": "code.Config"}, None),
    ],
)
def test_a_wrong_config_is_one_clear_error_and_asks_for_no_memory(packed_model, tmp_path, key, value, said):
    model, packed = packed_model
    path = folder_of(packed, model, tmp_path / "exported") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    (path.parent / "code.py").write_text("raise SystemExit('code of the folder was run')")
    if said is None:
        assert bert_mpq.load(path.parent) is not None
        return
    with pytest.raises(MpqError, match=said) as refused:
        bert_mpq.load(path.parent)
    assert refused.value.code == "E-MODEL"


def test_folders_without_a_model_are_refused(packed_model, tmp_path):
    _, packed = packed_model
    with pytest.raises(MpqError, match="No model file at") as refused:
        bert_mpq.load(tmp_path / "gone")
    assert refused.value.code == "E-NOFILE"
    (tmp_path / Mpq.weights_file).write_bytes(encoded(packed, {}))
    with pytest.raises(MpqError, match="is no valid model file") as refused:
        bert_mpq.load(tmp_path)
    assert refused.value.code == "E-MODEL"
