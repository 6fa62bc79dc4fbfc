"""Plots and pages of real run records."""

import html.parser
import shutil
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.ui.figures import plots
from bert_mpq.ui.figures.page import html_page, scale
from bert_mpq.ui.figures.plots import collect, write_plot
from tests.helpers.command import call

RUNS = Path(__file__).parent.parent.parent / "golden" / "runs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of real runs, as the tool leaves them."""
    output = tmp_path_factory.mktemp("results")
    for name, pattern in (("Sensitivities", "run_*.json"), ("Evaluation", "eval_*.json")):
        (output / name).mkdir()
        for path in RUNS.glob(pattern):
            shutil.copy(path, output / name)
    return output


@pytest.fixture(scope="module")
def material(folder):
    return collect(folder)


def test_an_svg_is_drawn_with_readable_text_and_the_same_every_time(material, tmp_path):
    first = write_plot(tmp_path / "a.svg", material).read_bytes()
    words = "".join(ET.fromstring(first).itertext())
    assert material.sensitivity.setting.model_title in words
    assert "KL of the logits" in words
    for group in material.comparison.groups:
        assert f"{group.size:,} reviews" in words
    assert write_plot(tmp_path / "b.svg", material).read_bytes() == first


def test_where_there_is_no_room_for_all_runs_the_pareto_optimal_ones_are_shown(
    material, tmp_path, monkeypatch
):
    group = max(material.comparison.groups, key=lambda group: len(group.runs))
    runs = [replace(run, pareto=run is group.runs[-1]) for run in group.runs]
    assert len(runs) > 1
    monkeypatch.setattr(plots, "SHOWN_RUNS", 1)
    only = replace(material.comparison, groups=(replace(group, runs=tuple(runs)),))
    drawn = write_plot(tmp_path / "a.svg", replace(material, comparison=only)).read_bytes()
    rows = [text for text in map(str.strip, ET.fromstring(drawn).itertext()) if "%  " in text]
    assert [row.split(", ")[-1] for row in rows] == [f"{100 * runs[-1].accuracy:.2f} %  {len(runs)}"]


def test_a_png_is_drawn(material, tmp_path):
    assert write_plot(tmp_path / "a.PNG", material).read_bytes().startswith(b"\x89PNG")


class Page(html.parser.HTMLParser):
    """Collects what a browser would fetch, and the open tags."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "line", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_page_needs_nothing_else_and_shows_every_figure(material, tmp_path):
    page = Page()
    page.feed(html_page(tmp_path / "page.html", material).read_text(encoding="utf-8"))
    assert not [link for link in page.fetched if not link.startswith("#")]
    assert not page.open
    text = " ".join(page.text)
    for group in material.comparison.groups:
        for run in group.runs:
            assert f"{run.accuracy:.4f}" in text
    for scores in material.sensitivity.scores:
        for value in scores.values:
            assert f"{value:.6f}" in text


def test_names_from_files_are_no_markup(folder, tmp_path):
    output = tmp_path / "copy"
    shutil.copytree(folder, output)
    for path in output.glob("*/*.json"):
        text = path.read_text()
        title = collect(folder).sensitivity.setting.model_title
        path.write_text(text.replace(title, "<script>alert(1)</script>"))
    content = html_page(tmp_path / "page.html", collect(output)).read_text()
    assert "<script>alert" not in content
    assert content.count("<script>") == 1


@pytest.mark.parametrize("name", ["plot", "plot.pdf", "plot.txt"])
def test_other_suffixes_are_refused(material, tmp_path, name):
    with pytest.raises(UsageError) as refused:
        write_plot(tmp_path / name, material)
    assert refused.value.code == "E-CONFIG"
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(material, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MpqError) as refused:
        write_plot(tmp_path / "a.png", material)
    assert refused.value.code == "E-EXTRA"
    assert "bert-mpq[plot]" in refused.value.hint
    assert html_page(tmp_path / "a.html", material).exists()  # a page needs none


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(MpqError) as refused:
        collect(tmp_path)
    assert refused.value.code == "E-NOFILE"


def test_a_page_is_opened_in_the_browser(folder, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    done = call("compare", "--output", str(folder), "--html", "a page.html", "--open", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert opened == [(tmp_path / "a page.html").as_uri()]
    done = call("compare", "--output", str(folder), "--open", cwd=tmp_path)
    assert (done.returncode, "--open shows the page of --html." in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], [0.0, 0.5, 1.0]),
        ([53.1, 59.8], [55.0, 60.0]),
        ([5.0, 5.0], [4.5, 5.0, 5.5]),
    ],
)
def test_ticks_are_round_and_inside(values, ticks):
    axis = scale(values, 10, 110)
    assert (axis.at(axis.low), axis.at(axis.high)) == (10, 110)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 2 <= len(axis.ticks) <= 6
    assert axis.ticks == pytest.approx(ticks)
