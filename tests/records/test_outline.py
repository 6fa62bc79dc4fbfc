"""What shares a width: layers, Linears, and the query, key and value of one attention."""

import pytest
from transformers import AutoModelForSequenceClassification, DistilBertConfig, ModernBertConfig, MPNetConfig

from bert_mpq.compute.encoder import outline_of
from bert_mpq.settings.errors import MpqError

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
FAMILIES = {
    "distilbert": (
        DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=50),
        (3, 1, 1, 1),
    ),
    "mpnet": (MPNetConfig(**SMALL, vocab_size=50), (3, 1, 1, 1)),
    "modernbert": (ModernBertConfig(**SMALL, vocab_size=50, pad_token_id=0), (1, 1, 1, 1)),
}


def test_bert_has_a_unit_for_each_layer_each_linear_and_each_attention(tiny_model):
    outline = outline_of(tiny_model)
    assert [unit.name for unit in outline.units()] == ["layer_0", "layer_1"]
    linears = [unit.name for unit in outline.units("linear", tie=False)][:6]
    assert linears == [
        "layer_0.attention.self.query",
        "layer_0.attention.self.key",
        "layer_0.attention.self.value",
        "layer_0.attention.output.dense",
        "layer_0.intermediate.dense",
        "layer_0.output.dense",
    ]
    tied = [unit.name for unit in outline.units("linear")]
    assert tied[:2] == ["layer_0.attention.self.query+key+value", linears[3]]
    assert len(tied) == 8


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_tie_what_reads_the_same_states(family):
    config, sizes = FAMILIES[family]
    outline = outline_of(AutoModelForSequenceClassification.from_config(config))
    units = outline.units("linear")
    assert tuple(len(unit.linears) for unit in units) == sizes * 2
    names = [linear.name for unit in units for linear in unit.linears]
    assert names == [linear.name for linear in outline.linears]  # in the order of the modules
    assert all(unit.name.startswith(f"layer_{unit.layer}.") for unit in units)


def test_bits_of_units_are_bits_of_every_linear(tiny_model):
    outline = outline_of(tiny_model)
    by_name = outline.bits_by_name((2, 3, 4, 8, 3, 4, 8, 16), "linear")
    assert list(by_name) == [linear.name for linear in outline.linears]
    assert list(by_name.values()) == [2, 2, 2, 3, 4, 8, 3, 3, 3, 4, 8, 16]
    with pytest.raises(MpqError, match="The allocation has 2 linears, the model has 8"):
        outline.bits_by_name((2, 3), "linear")
