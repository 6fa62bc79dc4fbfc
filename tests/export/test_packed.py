import pytest
import torch

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.export.packed import pack_model, tables_of, with_embeddings
from bert_mpq.settings.errors import MpqError


def test_a_packed_model_holds_the_numbers_of_the_model(packed_case):
    model, packed = packed_case
    state = packed.state()
    assert set(state) == set(model.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert weights_fingerprint(state) == weights_fingerprint(model.state_dict())


def test_embeddings_are_stored_in_the_width_asked_for(tiny_model):
    packed = pack_model(tiny_model, {}, {}, "fp32")
    tables = tables_of(tiny_model)
    assert len(tables) == 3
    half = with_embeddings(packed, tiny_model, "fp16")
    assert all(half.tensors[f"{name}.weight"].dtype == torch.float16 for name in tables)
    coded = with_embeddings(packed, tiny_model, "int8")
    assert set(coded.weights) == set(tables)
    for name in tables:
        table, read = tiny_model.state_dict()[f"{name}.weight"], coded.state()[f"{name}.weight"]
        step = coded.weights[name].scale.float().repeat_interleave(table.shape[1], 1)
        assert ((read - table).abs() <= step / 2 * 1.0001).all()
    assert with_embeddings(packed, tiny_model, "as-evaluated") is packed


def test_a_table_beyond_float16_is_refused(tiny_model):
    packed = pack_model(tiny_model, {}, {}, "fp32")
    name = "bert.embeddings.word_embeddings.weight"
    huge = packed.tensors[name].clone()
    huge[7, 3] = 1e6
    broken = type(packed)(weights={}, tensors={**packed.tensors, name: huge})
    with pytest.raises(
        MpqError, match=r"The table bert.embeddings.word_embeddings: it holds values"
    ) as refused:
        with_embeddings(broken, tiny_model, "fp16")
    assert refused.value.code == "E-MODEL"
