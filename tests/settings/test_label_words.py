"""What labels mean by themselves, and as the user says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.label_words import MEANINGS, label_key, meaning, parse_labels

NEGATIVE = ["negative", "neg", "NEG", " Negative ", "False", False, "LABEL_0", "0", 0, 0.0, "0.0", "-0"]
POSITIVE = ["positive", "pos", "Pos", "TRUE", True, "label_1", "1", 1, 1.0, "1.0", "1."]


@pytest.mark.parametrize("word", NEGATIVE)
def test_words_that_mean_negative(word):
    assert meaning(word) == "negative"


@pytest.mark.parametrize("word", POSITIVE)
def test_words_that_mean_positive(word):
    assert meaning(word) == "positive"


@pytest.mark.parametrize("word", ["", "2", "-1", "0.5", "nan", "inf", "1e400", "good", "not negative", "01x"])
def test_other_words_mean_nothing(word):
    assert meaning(word) is None


@given(st.text(), st.sampled_from([str.upper, str.title, lambda text: f" {text}\t"]))
def test_case_and_blanks_are_no_part_of_a_label(text, change):
    for word in MEANINGS:
        assert label_key(change(word)) == label_key(word)
    assert label_key(label_key(text)) == label_key(text)


def test_labels_are_read_as_they_are_meant():
    assert parse_labels(["1=negative", "2 = POS", "3=skip"]) == {
        "1": "negative",
        "2": "positive",
        "3": "skip",
    }
    assert parse_labels(["a=b=neg", "c=positive"]) == {"a=b": "negative", "c": "positive"}
    assert parse_labels([]) == {}


@pytest.mark.parametrize(
    ("items", "title"),
    [
        (["1"], "--labels cannot be read at '1'."),
        (["1=good", "2=positive"], "--labels cannot be read at '1=good'."),
        (["=negative", "2=positive"], "--labels cannot be read at '=negative'."),
        (["1=negative", "1.0=positive"], "--labels names '1.0' twice."),
        (["1=negative", "2=skip"], "--labels names no label that means positive."),
        (["x" * 50], f"--labels cannot be read at '{'x' * 37}...'."),
    ],
)
def test_labels_that_say_nothing_are_refused(items, title):
    with pytest.raises(UsageError) as refused:
        parse_labels(items)
    assert (refused.value.code, refused.value.title) == ("E-CONFIG", title)
