"""Targets and pins as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.targets import Target, parse_pin, parse_target


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("4x", "ratio", 4.0),
        (" 2.5 X ", "ratio", 2.5),
        ("30MB", "megabytes", 30.0),
        ("30.5 mb", "megabytes", 30.5),
        ("4.5bits", "bits", 4.5),
        ("4 bit", "bits", 4.0),
        ("0.5pp", "drop", 0.5),
        ("0pp", "drop", 0.0),
    ],
)
def test_targets_are_read_as_people_write_them(text, kind, value):
    assert parse_target(text) == Target(kind=kind, value=value)


@given(
    st.builds(
        Target,
        kind=st.sampled_from(("ratio", "megabytes", "bits", "drop")),
        value=st.integers(1, 10**8).map(lambda n: n / 1000),
    )
)
def test_a_target_survives_its_text(target):
    assert parse_target(target.text) == Target(kind=target.kind, value=float(f"{target.value:.10g}"))


@given(st.text(max_size=60) | st.from_regex(r"[0-9.]{0,9} ?[a-zA-Z]{0,4}"))
def test_any_text_is_a_target_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        assert parse_target(text).value >= 0


@pytest.mark.parametrize(
    "text", ["", "4", "x", "-4x", "0x", "0MB", "4xx", "four x", "1e400x", "9" * 50 + "x", "nanx", "٤x"]
)
def test_what_is_no_target_is_refused(text):
    with pytest.raises(UsageError, match="no target") as refused:
        parse_target(text)
    assert refused.value.code == "E-BUDGET"


def test_pins_are_read():
    assert parse_pin("layer_11=16") == ("layer_11", 16)
    assert parse_pin(" *.attention.*=2 ") == ("*.attention.*", 2)


@pytest.mark.parametrize(
    "text", ["", "11=16", "layer_1", "=4", "layer_1=", "layer_1=abc", "layer 1=4", "a=b=4"]
)
def test_what_pins_nothing_is_refused(text):
    with pytest.raises(UsageError, match="pins nothing") as refused:
        parse_pin(text)
    assert refused.value.code == "E-BUDGET"
