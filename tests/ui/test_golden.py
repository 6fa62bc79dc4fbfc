"""Every table and panel as text, from the records of real runs: 60, 80 and 120 columns, and plain ASCII."""

import shutil

import pytest
from golden import RUNS, check, shown

from bert_mpq.artifacts.record_reading import read_analysis, read_evaluation
from bert_mpq.comparison import compare
from bert_mpq.ui.comparison_view import comparison_views
from bert_mpq.ui.evaluation_view import evaluation_views
from bert_mpq.ui.sensitivity_view import sensitivity_views

WIDTHS = [60, 80, 120]


@pytest.fixture(scope="module")
def sensitivity():
    return read_analysis(next(RUNS.glob("run_*.json"))).result


@pytest.fixture(scope="module")
def evaluation():
    return read_evaluation(min(RUNS.glob("eval_*.json"))).result


def fits(text, width):
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    return text


@pytest.mark.parametrize("width", WIDTHS)
def test_sensitivities(sensitivity, width):
    text = shown(lambda console: sensitivity_views(sensitivity, console), width)
    check(f"sensitivity_{width}", fits(text, width))


def test_sensitivities_on_an_ascii_console(sensitivity):
    text = shown(lambda console: sensitivity_views(sensitivity, console), encoding="ascii")
    check("sensitivity_ascii", text)
    assert text.isascii()


@pytest.mark.parametrize("width", WIDTHS)
def test_evaluation(evaluation, width):
    check(f"evaluation_{width}", fits(shown(evaluation_views(evaluation), width), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_comparison(tmp_path, width):
    shutil.copytree(RUNS, tmp_path / "Evaluation", ignore=shutil.ignore_patterns("run_*"))
    comparison = compare(tmp_path)
    text = shown(lambda console: comparison_views(comparison, console), width)
    check(f"comparison_{width}", fits(text, width))
