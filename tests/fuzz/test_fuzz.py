"""Broken files are refused in one sentence, whatever is broken. ``soak.py`` does the same for hours."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_targets import TARGETS


class Randoms:
    """Decisions from a generator that hypothesis can shrink."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def integer(self, low: int, high: int) -> int:
        return self._generator.randint(low, high)


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_file_is_accepted(name, tmp_path):
    target = TARGETS[name]
    assert target.attempt(tmp_path, target.valid())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(st.randoms(use_true_random=False))
def test_a_broken_file_is_refused_in_one_sentence(name, tmp_path_factory, generator):
    target = TARGETS[name]
    folder = tmp_path_factory.getbasetemp()
    target.attempt(folder, target.broken(target.valid(), Randoms(generator)))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=30)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_file_or_refused(name, tmp_path_factory, content):
    TARGETS[name].attempt(tmp_path_factory.getbasetemp(), content)
