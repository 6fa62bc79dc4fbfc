import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.settings.quantizers import (
    QUANTIZERS,
    Algorithm,
    QuantizerName,
    for_probes,
    is_symmetric,
    menu_rows,
    needs_calibration,
    quantizer_for,
    quantizers_for,
    reviews_for,
)

NAMES = typing.get_args(QuantizerName)
names = st.sampled_from(NAMES)
widths = st.sampled_from((2, 3, 4, 6, 8))
group_sizes = st.sampled_from((None, 32, 64, 128))


def test_auto_is_one_scale_per_channel_at_8_bits_and_gptq_below():
    used = quantizers_for("auto", (16, 8, 6, 4, 3, 2), 64)
    assert [(entry.bits, entry.algorithm, entry.group_size) for entry in used] == [
        (8, "rtn", None),
        (6, "gptq", 64),
        (4, "gptq", 64),
        (3, "gptq", 64),
        (2, "gptq", 64),
    ]


def test_every_algorithm_is_one_that_can_be_run():
    from bert_mpq.quantization.layer import ALGORITHMS

    assert list(ALGORITHMS) == list(QUANTIZERS) == list(typing.get_args(Algorithm))
    assert NAMES == ("auto", *QUANTIZERS) == tuple(name for _, name, _ in menu_rows())


@pytest.mark.parametrize("algorithm", QUANTIZERS)
def test_the_facts_are_those_of_real_codes(algorithm):
    import torch

    from bert_mpq.quantization.hessian import Hessian
    from bert_mpq.quantization.layer import ALGORITHMS

    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    facts, quantize = QUANTIZERS[algorithm], ALGORITHMS[algorithm]
    if facts.without_reviews is not None:
        with pytest.raises(ValueError, match="calibration inputs"):
            quantize(weight, 4, 32)
    hessian = Hessian(matrix=torch.eye(64, dtype=torch.float64)) if facts.without_reviews else None
    quantized = quantize(weight, 4, 32, hessian)
    assert (quantized.zero_point is None) == facts.symmetric == is_symmetric(algorithm)
    assert quantized.scale.shape == ((1, 1) if facts.whole_weight else (8, 2))
    assert quantized.scale.element_size() * 8 == facts.scale_bits


@given(names, widths, group_sizes)
def test_without_calibration_nothing_is_left_that_needs_reviews(name, bits, group_size):
    assert quantizer_for(name, bits, group_size, calibrated=False).facts.without_reviews is None


@given(names, widths, group_sizes)
def test_calibration_changes_nothing_but_what_needs_reviews(name, bits, group_size):
    with_reviews, without = (quantizer_for(name, bits, group_size, flag) for flag in (True, False))
    assert with_reviews.group_size == without.group_size
    if with_reviews.algorithm in ("gptq", "learned"):
        assert without.algorithm == "rtn-mse"
    else:
        assert with_reviews == without


@pytest.mark.parametrize(
    ("name", "bits", "needed"),
    [
        ("auto", (16, 8), False),
        ("auto", (8, 4), True),
        ("auto", (32, 16), False),
        ("gptq", (8,), True),
        ("learned", (8, 16), False),
        ("learned", (8, 3), True),
        ("gptq", (16, 32), False),
        ("rtn-mse", (8, 4, 2), False),
        ("rtn", (4,), False),
        ("per-tensor", (8, 2), False),
        ("gptq", (), False),
    ],
)
def test_calibration_is_needed_just_where_gptq_is_used(name, bits, needed):
    assert needs_calibration(name, bits) is needed


@given(widths, group_sizes)
def test_probes_are_never_learned(bits, group_size):
    assert quantizer_for(for_probes("learned"), bits, group_size) == quantizer_for("auto", bits, group_size)
    assert all(for_probes(name) == name for name in NAMES if name != "learned")


@given(st.sampled_from(NAMES))
def test_learned_rounding_looks_at_more_reviews_unless_it_is_told(name):
    assert reviews_for(name, None) == (512 if name == "learned" else 128)
    assert reviews_for(name, 7) == 7


def test_only_widths_below_16_are_quantized_each_once_widest_first():
    assert [entry.bits for entry in quantizers_for("rtn", (4, 16, 2, 4, 32, 8), 64)] == [8, 4, 2]


@pytest.mark.parametrize(
    ("name", "bits", "group_size", "text", "title"),
    [
        ("auto", 4, 64, "gptq, group size 64", "4 bits: GPTQ, groups of 64"),
        (
            "auto",
            8,
            64,
            "rtn, group size channel",
            "8 bits: round to nearest, one scale per channel",
        ),
        (
            "per-tensor",
            2,
            64,
            "per-tensor",
            "2 bits: min-max, one scale per weight (for comparison only)",
        ),
    ],
)
def test_quantizers_in_words(name, bits, group_size, text, title):
    entry = quantizer_for(name, bits, group_size)
    assert (entry.text, entry.title) == (text, title)


@pytest.mark.parametrize(
    ("name", "group_size", "scale_bits"),
    [("gptq", 64, 0.25), ("rtn", 32, 0.5), ("rtn", None, 0.0), ("per-tensor", 64, 0.0)],
)
def test_scales_cost_16_bits_a_group(name, group_size, scale_bits):
    assert quantizer_for(name, 4, group_size).scale_bits == scale_bits
