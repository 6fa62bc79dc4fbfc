import pytest
import torch
from torch import nn

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.export.packed import pack_model, with_embeddings
from bert_mpq.settings.errors import MpqError


def test_a_packed_model_holds_the_numbers_of_the_model(packed_case):
    model, packed = packed_case
    state = packed.state()
    assert set(state) == set(model.state_dict())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert weights_fingerprint(state) == weights_fingerprint(model.state_dict())


def test_a_fingerprint_sees_one_changed_bit_and_a_swapped_name(tiny_model):
    state = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    before = weights_fingerprint(state)
    assert weights_fingerprint(dict(reversed(state.items()))) == before
    state["classifier.bias"][0] = torch.nextafter(state["classifier.bias"][0], torch.tensor(1.0))
    assert weights_fingerprint(state) != before
    first, second = (f"bert.encoder.layer.0.attention.self.{name}.weight" for name in ("query", "key"))
    swapped = {**tiny_model.state_dict(), first: tiny_model.state_dict()[second]}
    swapped[second] = tiny_model.state_dict()[first]
    assert weights_fingerprint(swapped) != before


def test_embeddings_are_stored_in_the_width_asked_for(tiny_model):
    packed = pack_model(tiny_model, {}, ())
    tables = [f"{name}" for name, module in tiny_model.named_modules() if isinstance(module, nn.Embedding)]
    assert len(tables) == 3
    half = with_embeddings(packed, tiny_model, "fp16")
    assert all(half.tensors[f"{name}.weight"].dtype == torch.float16 for name in tables)
    coded = with_embeddings(packed, tiny_model, "int8")
    assert set(coded.weights) == set(tables)
    for name in tables:
        table, read = tiny_model.state_dict()[f"{name}.weight"], coded.state()[f"{name}.weight"]
        step = coded.weights[name].scale.float().repeat_interleave(table.shape[1], 1)
        assert ((read - table).abs() <= step / 2 * 1.0001).all()
    assert with_embeddings(half, tiny_model, "fp32").tensors[f"{tables[0]}.weight"].dtype == torch.float32


def test_a_table_beyond_float16_is_refused(tiny_model):
    packed = pack_model(tiny_model, {}, ())
    name = "bert.embeddings.word_embeddings.weight"
    huge = packed.tensors[name].clone()
    huge[7, 3] = 1e6
    broken = type(packed)(weights={}, tensors={**packed.tensors, name: huge})
    with pytest.raises(
        MpqError, match=r"The table bert.embeddings.word_embeddings: it holds values"
    ) as refused:
        with_embeddings(broken, tiny_model, "fp16")
    assert refused.value.code == "E-MODEL"
