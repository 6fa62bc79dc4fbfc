"""Embedding tables in fewer bits, on real reviews and in every family."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.embeddings import quantized_tables, round_tables, tables_of
from bert_mpq.records.sizes import table_bits
from bert_mpq.settings.embeddings import EMBEDDINGS
from bert_mpq.settings.errors import MpqError
from tests.helpers.families import MODELS, classifier_of
from tests.helpers.quantized import stored_bits
from tests.helpers.workloads import on_cpu

CODED = tuple(name for name, facts in EMBEDDINGS.items() if facts.coded)


def table_model(weight):
    """A module with one table."""
    model = nn.Module()
    model.table = nn.Embedding.from_pretrained(weight)
    return model


@settings(deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.sampled_from((3, 16, 64, 128, 192)),
    power=st.integers(-9, 3),
    precision=st.sampled_from(CODED),
    seed=st.integers(0, 2**16),
)
def test_codes_are_in_range_scales_usable_and_no_entry_moves_by_more_than_half_a_step(
    rows, columns, power, precision, seed
):
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 10.0**power
    weight[0] = 0.0  # as a row of padding is
    model = table_model(weight)
    codes = quantized_tables(model, precision)["table"]
    half = 2 ** (codes.bits - 1)
    assert codes.bits == EMBEDDINGS[precision].bits
    assert -half <= codes.codes.min() <= codes.codes.max() < half
    assert codes.scale.dtype == torch.float16
    assert codes.scale.shape == (rows, columns // 64 if columns % 64 == 0 else 1)
    assert torch.isfinite(codes.scale).all()
    assert (codes.scale != 0).all()
    assert not codes.dequantize()[0].any()
    step = codes.scale.float().repeat_interleave(columns // codes.scale.shape[1], 1)
    assert ((codes.dequantize() - weight).abs() <= step / 2 * 1.0001).all()
    assert round_tables(model, precision)["table"].codes.equal(codes.codes)
    assert model.table.weight.equal(codes.dequantize())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_table_of_every_family_is_kept_in_codes_and_counted(name):
    model = classifier_of(name)
    others = {key: value.clone() for key, value in model.state_dict().items()}
    tables = {f"{table}.weight" for table in tables_of(model)}
    outline = outline_of(model)
    codes = round_tables(model, "int8")
    assert {f"{table}.weight" for table in codes} == tables
    assert table_bits(outline, "int8") == sum(stored_bits(each) for each in codes.values())
    for key, value in model.state_dict().items():
        assert value.equal(others[key]) or key in tables or value.data_ptr() in pointers(model)
    with torch.inference_mode():
        assert torch.isfinite(model(torch.tensor([[101, 23, 85, 102]])).logits).all()


def pointers(model):
    """Where the tables lie: a family may call one by several names."""
    return {table.weight.data_ptr() for table in tables_of(model).values()}


def test_8_bits_cost_nothing_on_real_reviews_and_4_bits_little(classifier, reviews):
    work = on_cpu(tokenize(reviews.take(list(range(32))), classifier.tokenizer, 32, Silent()))
    before, kl = evaluate(classifier.model, work, Silent(), ""), {}
    for precision in EMBEDDINGS:
        model = copy.deepcopy(classifier.model)
        round_tables(model, precision)
        kl[precision] = evaluate(model, work, Silent(), "").divergence(before)
    assert kl["fp32"] == 0.0
    assert kl["fp16"] < 1e-6
    assert 0.0 < kl["int8"] < 5e-5
    assert 10 * kl["int8"] < kl["int4"] < 1e-2


def test_fp16_rounds_and_fp32_leaves_every_table_as_it_is(tiny_model):
    for precision, expected in (("fp32", lambda w: w), ("fp16", lambda w: w.half().float())):
        model = copy.deepcopy(tiny_model)
        assert round_tables(model, precision) == {}
        for name, table in tables_of(tiny_model).items():
            assert model.get_submodule(name).weight.equal(expected(table.weight))


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
@pytest.mark.parametrize("value", [1e9, float("nan")])
def test_a_table_that_a_precision_cannot_hold_is_named(tiny_model, precision, value):
    broken = copy.deepcopy(tiny_model)
    with torch.no_grad():
        broken.bert.embeddings.word_embeddings.weight[7, 3] = value
    with pytest.raises(MpqError, match="word_embeddings") as refused:
        round_tables(broken, precision)
    assert refused.value.code == "E-MODEL"
    assert refused.value.hint == "Use --embeddings fp32."
