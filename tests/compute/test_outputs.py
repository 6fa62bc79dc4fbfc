"""Which output means positive is read from the names that a config gives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig

from bert_mpq.compute.outputs import Outputs, outputs_of, read_outputs


@pytest.mark.parametrize(
    ("id2label", "label2id", "positive"),
    [
        (None, None, 1),
        ({}, {}, 1),
        ({"0": "LABEL_0", "1": "LABEL_1"}, {"LABEL_0": 0, "LABEL_1": 1}, 1),
        ({"0": "negative", "1": "positive"}, None, 1),
        ({"0": "POSITIVE", "1": "NEGATIVE"}, {"POSITIVE": 0, "NEGATIVE": 1}, 0),
        ({0: "Pos", 1: "Neg"}, None, 0),
        ({"1": "neg", "0": "pos"}, None, 0),
        ({"0": " positive ", "1": "something else"}, None, 0),
        ({"0": "something else", "1": "Negative"}, None, 0),
        ({"0": "1", "1": "0"}, None, 0),
        ({"0": 1, "1": 0}, None, 0),
        ({"0": "LABEL_1", "1": "LABEL_0"}, None, 0),
        ({"0": "toxic", "1": "clean"}, None, 1),
        (None, {"pos": 0, "neg": 1}, 0),
        ({"0": "LABEL_0", "1": "LABEL_1"}, {"positive": 0, "negative": 1}, 0),
        ({"0": "good", "1": "bad"}, {"positive": 0, "negative": 1}, 0),
        (["negative", "positive"], "nonsense", 1),
    ],
)
def test_names_decide_else_the_second_output_means_positive(id2label, label2id, positive):
    assert read_outputs(id2label, label2id).positive == positive


@pytest.mark.parametrize(
    ("id2label", "known"),
    [
        (None, False),
        ({"0": "toxic", "1": "clean"}, False),
        ({"0": "LABEL_0", "1": "LABEL_1"}, True),
        ({"0": "x", "1": "pos"}, True),
    ],
)
def test_it_is_known_whether_the_names_say_anything(id2label, known):
    assert read_outputs(id2label, None).known == known


@pytest.mark.parametrize(
    ("id2label", "label2id", "reason"),
    [
        ({"0": "pos", "1": "positive"}, None, "it calls both outputs positive"),
        ({"0": "0", "1": "LABEL_0"}, None, "it calls both outputs negative"),
        ({"0": "neg", "1": "pos"}, {"neg": 1, "pos": 0}, "contradict each other"),
    ],
)
def test_names_that_contradict_each_other_are_refused(id2label, label2id, reason):
    with pytest.raises(ValueError, match=reason):
        read_outputs(id2label, label2id)


def test_the_meaning_in_words():
    outputs = read_outputs({"0": "POSITIVE", "1": "NEGATIVE"}, None)
    assert outputs.text == "output 0 (POSITIVE) = positive, output 1 (NEGATIVE) = negative"
    assert outputs.order == (1, 0)


@pytest.mark.parametrize("positive", [0, 1])
def test_swapped_outputs_are_what_a_config_with_their_names_says(positive):
    swapped = Outputs(names=("a", "b"), positive=positive).swapped
    assert swapped.positive == 1 - positive
    assert read_outputs(swapped.id2label, None) == swapped


def test_a_model_without_names_has_the_usual_order():
    assert outputs_of(torch.nn.Linear(2, 2)).order == (0, 1)


@given(st.dictionaries(st.one_of(st.integers(0, 3), st.text(max_size=3)), st.text(max_size=9), max_size=3))
def test_a_loaded_config_says_the_same_as_its_file(names):
    id2label = {"0": "LABEL_0", "1": "LABEL_1", **{str(key): value for key, value in names.items()}}
    try:
        outputs = read_outputs(id2label, None)
    except ValueError:
        return
    model = torch.nn.Linear(2, 2)
    model.config = BertConfig(id2label=outputs.id2label)
    assert outputs_of(model).positive == outputs.positive
