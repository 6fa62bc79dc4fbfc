"""What fits a type hint, what is converted to it, and what is refused."""

import math
from dataclasses import dataclass
from typing import Literal

import pytest

from bert_mpq.settings.type_hints import converted, fits


@dataclass(frozen=True)
class Point:
    at: tuple[float, float]
    name: str
    note: str = ""


@dataclass(frozen=True)
class Share:
    value: float


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, 1.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([], tuple[int, ...], ()),
        ([1, None], tuple[int, int | None], (1, None)),
        (None, str | None, None),
        ("a", Literal["a", "b"], "a"),
        ({"at": [0, 1.5], "name": "p", "more": 1}, Point, Point((0.0, 1.5), "p")),
        ([{"at": [0, 1], "name": "p", "note": "n"}], tuple[Point, ...], (Point((0.0, 1.0), "p", "n"),)),
    ],
)
def test_json_becomes_the_type(value, hint, expected):
    made = converted(value, hint, "here")
    assert made == expected
    assert type(made) is type(expected)


def test_null_is_nan_where_a_number_is_expected():
    assert math.isnan(converted(None, float, "here"))


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        (True, int, "here is not what it should be"),
        (True, float, "here is not what it should be"),
        (1.0, int, "here is not what it should be"),
        (10**400, float, "here is too large a number"),
        (None, int, "here is missing"),
        ("c", Literal["a", "b"], "here is not what it should be"),
        ([1, "2"], tuple[int, ...], r"here\[1\] is not what it should be"),
        ([1], tuple[int, int], "here is not what it should be"),
        ("12", tuple[str, ...], "here is not what it should be"),
        ({"name": "p"}, Point, "here.at is missing"),
        ({}, Share, "here.value is missing"),  # a number that is absent is not null, which would be NaN
        ({"at": [0, "1"], "name": "p"}, Point, r"here.at\[1\] is not what it should be"),
        ([], Point, "here is not an object"),
    ],
)
def test_a_refusal_says_what_is_wrong_where(value, hint, said):
    with pytest.raises(ValueError, match=said):
        converted(value, hint, "here")


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (True, bool, True),
        (True, int, False),
        (1, float, False),
        (math.nan, float, True),
        (None, float, False),
        (None, int | None, True),
        ((8, 4), tuple[int, ...], True),
        ([8, 4], tuple[int, ...], False),
        ((8, True), tuple[int, ...], False),
        ((8, 4), tuple[int, ...] | None, True),
        ("a", Literal["a", "b"], True),
        (["a"], Literal["a", "b"], False),
    ],
)
def test_a_value_fits_as_it_stands_or_not(value, hint, expected):
    assert fits(value, hint) is expected
