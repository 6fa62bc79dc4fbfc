"""The screens in the README are what the program shows: ``python -m tests.ui.screens`` writes them anew."""

import html
import re

import pytest

from tests.ui.screens import COMMAND, IMAGES, README, menu, texts, with_block


@pytest.mark.parametrize("name", ["sensitivity", "evaluation", "comparison"])
def test_the_images_show_what_the_program_prints(name):
    text = texts()[name]
    assert (IMAGES / f"{name}.txt").read_text("utf-8") == text, f"run {COMMAND}"
    svg = (IMAGES / f"{name}.svg").read_text("utf-8")
    drawn = html.unescape("".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")
    for word in text.split():
        assert word in drawn, f"{word} is not in {name}.svg; run {COMMAND}"
    assert f"tests/golden/screens/{name}.svg" in README.read_text("utf-8")


def test_the_menu_in_the_readme_is_the_menu():
    readme = README.read_text("utf-8")
    assert with_block(readme, "menu", menu()) == readme, f"run {COMMAND}"
