"""Phase 1's tables as text."""

import dataclasses
import re

import pytest

from bert_mpq.records.reading import read_analysis
from bert_mpq.records.sensitivity import AnalysisResult, LayerScore, MetricAgreement, Scores, Stopping
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.views.sensitivity import bar, heat_map, sensitivity_views
from tests.helpers.golden import RUNS, check, console, shown
from tests.helpers.results import SETTING, sample


def layer(value, low, high, **more):
    return LayerScore(value=value, interval=(low, high), **more)


@pytest.fixture
def result():
    pwcca = Scores(
        metric="pwcca",
        layers=(
            layer(0.01586, 0.0153, 0.0164),
            layer(0.0206, 0.0197, 0.0215),
            layer(0.00798, 0.0071, 0.009),
        ),
        rank_confidence=(0.9991, 0.947),
    )
    saturated = LayerScore(
        value=0.0,
        status="saturated",
        explanation="100 reviews are too few for 2 x 384 directions: use CKA or more reviews",
        usable=False,
    )
    cka = Scores(
        metric="cka",
        layers=(layer(0.004, 0.003, 0.005, noise_floor=0.003), layer(0.002, 0.001, 0.003), saturated),
        rank_confidence=(0.9, None),
    )
    return AnalysisResult(
        config=RunConfig(metrics=("pwcca", "cka")),
        setting=SETTING,
        sample=sample("TRAIN set", 450, 4, sampling="random"),
        scores=(pwcca, cka),
        kl=(0.00317, 0.00287, 0.00012),
        agreement=(
            MetricAgreement(first="pwcca", second="cka", spearman=0.5, flagged=(0, 2)),
            MetricAgreement(first="pwcca", second="kl", spearman=1.0),
        ),
        quantizers=(),
        gptq_sample=None,
        stages=(),
        stopping=Stopping(used=450, available=1000, confidence=0.968),
    )


def text_of_views(result, width, encoding="utf-8"):
    return shown(lambda console: sensitivity_views(result, console), width, encoding)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_tables_are_the_golden_ones(result, width):
    check(f"sensitivity_intervals_{width}", text_of_views(result, width))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_console(result, width):
    assert all(len(line) <= width for line in text_of_views(result, width).splitlines())


def test_a_console_without_blocks_gets_plain_characters(result):
    text = text_of_views(result, 80, "ascii")
    assert text.isascii()
    assert "##" in text


def test_without_intervals_there_are_no_columns_for_them(result):
    bare = dataclasses.replace(
        result,
        scores=(Scores(metric="cka", layers=(LayerScore(value=0.2), LayerScore(value=0.1))),),
        kl=(),
        agreement=(),
        stopping=None,
    )
    assert "interval" not in text_of_views(bare, 80)


def test_a_set_that_was_used_up_is_said_to_be():
    from bert_mpq.ui.views.sensitivity import _stopping

    assert _stopping(Stopping(used=9, available=9, confidence=1.0)).startswith("All 9 reviews were needed")


@pytest.mark.parametrize(
    ("span", "expected"),
    [((1.0, 1.0), "█" * 8), ((0.5, 1.0), "████░░░░"), ((0.25, 0.5), "██░░"), ((0.3, 0.3), "██▍")],
)
def test_a_bar_is_solid_up_to_the_interval_and_light_along_it(span, expected):
    assert bar(span, 1.0, 8, blocks=True) == expected


@pytest.mark.parametrize("span", [(float("nan"), float("nan")), (0.0, 0.0)])
def test_no_score_has_no_bar(span):
    assert bar(span, 1.0, 8, blocks=True) == ""


def test_the_heat_map_marks_the_metric_that_decides():
    real = read_analysis(next(RUNS.glob("run_*.json"))).result
    check("heat_map", shown(lambda console: heat_map(real, "pwcca", console)))
    check("heat_map_ascii", shown(lambda console: heat_map(real, "cka", console), encoding="ascii"))
    largest = {scores.metric: max(scores.values) for scores in real.scores}
    text = shown(lambda console: heat_map(real, "pwcca", console))
    for layer, line in enumerate(text.splitlines()[4 : 4 + real.setting.layers]):
        shares = [scores.values[layer] / largest[scores.metric] for scores in real.scores]
        assert [float(each) for each in re.findall(r"\d\.\d\d", line)[: len(shares)]] == [
            round(share, 2) for share in shares
        ]


def test_one_metric_alone_has_no_heat_map(result):
    usable = dataclasses.replace(result, scores=result.scores[:1], kl=())
    assert heat_map(usable, "pwcca", console()) == []
