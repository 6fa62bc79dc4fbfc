"""The search for the smallest plan that is good enough."""

import math

from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.allocation.bisection import smallest_passing


@given(st.integers(1, 200), st.integers(0, 200))
def test_a_rising_accuracy_gives_the_exact_answer_in_few_evaluations(count, first):
    asked = []

    def passes(index):
        asked.append(index)
        return index >= first

    assert smallest_passing(count, passes) == (first if first < count else None)
    assert len(asked) == len(set(asked)) <= math.ceil(math.log2(count)) + 4


@given(st.lists(st.booleans(), max_size=40))
def test_whatever_the_accuracies_the_answer_passes(answers):
    found = smallest_passing(len(answers), answers.__getitem__)
    if found is None:
        assert not answers or not answers[-1]
        return
    assert answers[found]


@given(st.lists(st.booleans(), max_size=40))
def test_the_largest_plan_decides_whether_there_is_an_answer(answers):
    assert (smallest_passing(len(answers), answers.__getitem__) is None) == (not answers or not answers[-1])


def test_the_next_smaller_plans_are_tried_because_accuracy_is_only_roughly_monotone():
    answers = [False, False, False, True, False, True, True, True]
    assert smallest_passing(len(answers), answers.__getitem__) == 3
