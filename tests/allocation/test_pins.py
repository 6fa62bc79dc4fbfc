"""Units kept at a width, by name and by pattern; what fits nothing or only a part is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.allocation.pins import check_probed, pinned_units
from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.settings.errors import MpqError

INSIDE = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
OUTLINE = Outline(
    linears=tuple(
        LinearShape(name=f"bert.encoder.layer.{layer}.{name}", layer=layer, outputs=8, inputs=8)
        for layer in range(12)
        for name in (*INSIDE, "intermediate.dense", "output.dense")
    ),
    embedding_weights=0,
    norm_weights=0,
    head_weights=0,
)
LAYERS, TIED, ALONE = OUTLINE.units(), OUTLINE.units("linear"), OUTLINE.units("linear", tie=False)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("layer_1", 6),  # not layer_10 nor layer_11
        ("layer_1*", 18),
        ("layer_3.attention", 4),
        ("layer_3.attention.self.key", 1),
        ("*.attention.*", 48),
        ("*.output.dense", 24),  # the attention's as well
        ("layer_?.output.dense", 10),
        ("layer_[02].intermediate", 2),
    ],
)
def test_a_name_stands_for_all_that_is_in_it_and_a_pattern_for_all_it_fits(pattern, count):
    pinned = pinned_units([(pattern, 8)], ALONE)
    assert len(pinned) == count
    assert set(pinned.values()) == {8}


def test_the_pins_of_layers_hold_for_every_granularity():
    assert pinned_units([("layer_3", 8)], LAYERS) == {3: 8}
    assert pinned_units([("layer_3", 8)], TIED) == {12: 8, 13: 8, 14: 8, 15: 8}


@given(st.sampled_from((2, 8)), st.sampled_from((3, 4)))
def test_where_two_pins_match_the_later_one_counts(first, second):
    pinned = pinned_units([("layer_0", first), ("layer_0.output", second)], ALONE)
    assert pinned == {0: first, 1: first, 2: first, 3: first, 4: first, 5: second}


@pytest.mark.parametrize(
    ("pattern", "units", "title", "hint"),
    [
        (
            "layer_12",
            LAYERS,
            "--pin layer_12 matches nothing.",
            "There are layer_0 to layer_11, and in",
        ),
        ("*.query_key", ALONE, "matches nothing", "attention.self.query, attention.self.key,"),
        ("layer_0.attention", LAYERS, "layer_0 has one width, but layer_0.attention", "--granularity linear"),
        ("*.query", TIED, "query+key+value has one width, but layer_0.attention.self.query", "--no-tie"),
    ],
)
def test_what_cannot_be_pinned_is_refused_with_what_there_is(pattern, units, title, hint):
    with pytest.raises(MpqError) as refused:
        pinned_units([(pattern, 8)], units)
    assert refused.value.code == "E-BUDGET"
    assert title in refused.value.title
    assert hint in refused.value.hint


def test_a_width_that_was_not_probed_is_refused():
    check_probed({0: 16, 1: 32, 2: 4}, LAYERS, (2, 4))
    with pytest.raises(MpqError, match="layer_1 is pinned to 6 bits, but only 2, 4 were probed") as refused:
        check_probed({1: 6}, LAYERS, (4, 2))
    assert refused.value.code == "E-BUDGET"
