"""The page in headless Chromium: run with ``pytest -m browser``."""

import os
from pathlib import Path

import pytest

from bert_mpq.ui.figures.page import html_page
from bert_mpq.ui.figures.plots import collect
from tests.helpers.browser import PROGRAM, Browser
from tests.ui.figures.test_figures import folder  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")]
TIP = "document.getElementById('tip')"
SIZES = "document.querySelector('svg[aria-label^=Accuracy]')"
BOXES = (
    "[...{}.querySelectorAll('{}')].map(each => each.getBoundingClientRect())"
    ".map(box => [box.left, box.top, box.right, box.bottom])"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):  # noqa: F811
    return html_page(tmp_path_factory.mktemp("page") / "results.html", collect(folder))


def rgb(browser, what):
    """The brightness of a colour, 0 to 255."""
    text = browser.eval(f"getComputedStyle({what[0]}).{what[1]}")
    return sum(map(int, text.removeprefix("rgb(").rstrip(")").split(", "))) / 3


@pytest.mark.parametrize("dark", [False, True])
def test_the_colours_follow_those_of_the_system(browser, page, dark):
    browser.open(page, dark)
    ground = rgb(browser, ("document.body", "backgroundColor"))
    ink = rgb(browser, ("document.body", "color"))
    assert (ground < 60 and ink > 200) if dark else (ground > 240 and ink < 60)
    pictures = os.environ.get("PICTURES")  # a folder: look at them
    if pictures:
        browser.picture(Path(pictures, f"results_{'dark' if dark else 'light'}.png"))


@pytest.mark.parametrize("width", [1100, 400])
def test_nothing_is_fetched_and_nothing_is_wider_than_the_window(browser, page, width):
    browser.requests.clear()
    browser.open(page, width=width)
    assert [url for url in browser.requests if url != page.as_uri()] == []
    browser.eval("document.querySelector('h2').textContent = 'model_'.repeat(50)")
    assert browser.eval("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1100, 400])
def test_the_labels_of_the_sizes_can_be_read_and_stand_apart(browser, page, width):
    browser.open(page, width=width)
    labels = browser.eval(BOXES.format(SIZES, "text"))
    marks = browser.eval(BOXES.format(SIZES, "circle:not(.reach)"))
    assert min(bottom - top for _, top, _, bottom in labels) > 10  # pixels
    assert min(left for left, _, _, _ in labels) >= 0
    for index, (left, top, right, bottom) in enumerate(labels):
        for other in labels[index + 1 :] + marks:
            assert other[0] >= right or other[2] <= left or other[1] >= bottom or other[3] <= top


def test_the_pointer_shows_the_values_of_a_run(browser, page, folder):  # noqa: F811
    run = min(collect(folder).comparison.groups[0].runs, key=lambda run: run.whole_bits)
    browser.open(page)
    assert browser.eval(f"{TIP}.hidden")
    browser.point("svg[aria-label^=Accuracy] .mark")
    assert not browser.eval(f"{TIP}.hidden")
    assert f"accuracy {run.accuracy:.4f}" in browser.eval(f"{TIP}.textContent")


def test_the_keyboard_reaches_every_mark_and_shows_its_values(browser, page, folder):  # noqa: F811
    material = collect(folder)
    browser.open(page)
    marks, seen = browser.eval("document.querySelectorAll('.mark').length"), []
    for _ in range(60):
        browser.press("Tab")
        if browser.eval("document.activeElement.classList.contains('mark')"):
            seen.append(browser.eval(f"{TIP}.textContent"))
            assert not browser.eval(f"{TIP}.hidden")
    seen = [*dict.fromkeys(seen)]  # after the last one Tab begins anew
    layers = len(material.sensitivity.scores[0].layers)
    assert (
        len(seen)
        == marks
        == layers * len(material.sensitivity.scores) + len(material.comparison.groups[0].runs)
    )
    assert seen[0].startswith("layer_0\n")
    assert "95 % interval" in seen[0]
    browser.eval("document.querySelector('.mark').focus()")
    browser.press("Escape")
    assert browser.eval(f"{TIP}.hidden")


def test_a_heading_sorts_its_table_both_ways(browser, page):
    browser.open(page)
    table = "document.querySelectorAll('table.sortable')[1]"
    column = f"[...{table}.tBodies[0].rows].map(row => row.cells[7].textContent)"
    before = browser.eval(column)
    heading = f"{table}.tHead.rows[0].cells[7]"
    browser.eval(f"{heading}.firstChild.focus()")
    browser.press("Enter")
    assert browser.eval(column) == sorted(before, key=lambda text: -float(text.split()[0]))
    assert browser.eval(f"{heading}.getAttribute('aria-sort')") == "descending"
    browser.press("Enter")
    assert browser.eval(column) == sorted(before, key=lambda text: float(text.split()[0]))
