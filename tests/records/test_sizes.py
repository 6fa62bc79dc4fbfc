"""The size that is planned is the size that the quantizers give: one rule, held against real codes."""

import dataclasses

import pytest
import torch
from torch import nn

from bert_mpq.compute.encoder import outline_of
from bert_mpq.records.outline import LinearShape
from bert_mpq.records.sizes import packed_bits, scale_bits, size_report, unit_bits
from bert_mpq.settings.embeddings import EMBEDDINGS
from bert_mpq.settings.quantizers import quantizer_for
from tests.helpers.quantized import quantized_at, stored_bits, stored_scale_bits


@pytest.mark.parametrize("quantizer", ["auto", "gptq", "rtn-mse", "rtn", "per-tensor"])
@pytest.mark.parametrize("group_size", [None, 32, 64])
def test_the_rule_gives_the_bits_of_the_real_codes_and_scales(tiny_model, quantizer, group_size):
    outline = outline_of(tiny_model)
    for bits in (2, 3, 4, 6, 8):
        quantized = quantized_at(tiny_model, (bits, 16), quantizer, group_size)
        shapes = {linear.name: linear for linear in outline.linears}
        first, second = outline.units()
        assert len(quantized.weights) == 6
        for name, weight in quantized.weights.items():
            assert stored_bits(weight) == packed_bits(shapes[name], bits, quantizer, group_size)
            assert stored_scale_bits(weight) == scale_bits(shapes[name], bits, quantizer, group_size)
        real = sum(stored_bits(weight) for weight in quantized.weights.values())
        assert unit_bits(first, bits, quantizer, group_size) == real
        assert quantized.sizes.quantized_bits == real + unit_bits(second, 16, quantizer, group_size)


@pytest.mark.parametrize(("embeddings", "saved"), [("fp32", 0), ("fp16", 16), ("int8", 24), ("int4", 28)])
def test_every_parameter_is_counted_once(tiny_model, embeddings, saved):
    outline = outline_of(tiny_model)
    sizes = size_report(outline, outline.bits_by_name((32, 32)), "auto", 64, embeddings)
    parameters = sum(p.numel() for p in tiny_model.parameters())
    tables = [m.weight for m in tiny_model.modules() if isinstance(m, nn.Embedding)]
    scales = sum(map(len, tables)) if saved > 16 else 0  # one a row: 64 does not divide its 16 features
    assert sizes.whole_original_bits == 32 * parameters
    entries = sum(table.numel() for table in tables)
    assert sizes.whole_bits == 32 * parameters - saved * entries + 16 * scales
    assert outline.layers == 2
    assert outline.linear_weights == sizes.linear_weights == 2 * (4 * 16 * 16 + 2 * 16 * 32)


def test_a_copy_says_the_same_size_as_the_plan(tiny_model):
    outline = outline_of(tiny_model)
    for embeddings in EMBEDDINGS:
        planned = size_report(outline, outline.bits_by_name((3, 8)), "auto", 32, embeddings)
        copied = quantized_at(tiny_model, (3, 8), "auto", 32, embeddings=embeddings)
        assert dataclasses.asdict(copied.sizes) == dataclasses.asdict(planned)
        if EMBEDDINGS[embeddings].coded:
            real = sum(stored_bits(table) for table in copied.tables.values())
            assert copied.sizes.embedding_bits == real


def test_16_bits_and_more_have_no_scales_and_8_bits_of_auto_one_a_channel():
    linear = LinearShape(name="l", layer=0, outputs=10, inputs=128)
    assert scale_bits(linear, 16, "auto", 64) == scale_bits(linear, 32, "rtn", 64) == 0
    assert scale_bits(linear, 8, "auto", 64) == 10 * 16
    assert scale_bits(linear, 4, "auto", 64) == 10 * 2 * 16
    assert quantizer_for("auto", 8, 64).group_size is None


def test_the_outline_needs_no_weights():
    with torch.device("meta"):
        from transformers import BertConfig, BertForSequenceClassification

        model = BertForSequenceClassification(BertConfig())
    outline = outline_of(model)
    assert outline.linear_weights == 84_934_656
    assert size_report(outline, outline.bits_by_name((32,) * 12), "auto", 64).whole_original_bits == 32 * (
        109_483_778
    )
