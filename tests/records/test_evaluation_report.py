import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from bert_mpq.records.evaluation_report import evaluation_stem, evaluation_text, report_path
from bert_mpq.records.numbers import megabytes
from bert_mpq.settings.quantizers import quantizers_for

GOLDEN = Path(__file__).parent.parent / "golden"
TIMESTAMP = "20250113_142530"
STEM = f"eval_BERT_IMDB_kmeans_3groups_{TIMESTAMP}"


def sections(text):
    """Return the lines of each section, without the dots that stand for further layers."""
    return [
        [line for line in section.splitlines() if line != "..."] for section in text.strip().split("\n\n")
    ]


def shape(line):
    """Return ``line`` with every digit as 9 and every integer part as one: 0.24% and 12.10% differ not."""
    return re.sub(r"\d", "9", re.sub(r"(?<![\d._])\d+", "9", line))


def test_the_report_is_as_released(evaluation_result):
    assert evaluation_text(evaluation_result, TIMESTAMP) == (GOLDEN / f"{STEM}.txt").read_text()


def test_speed_is_reported_where_the_run_counted_its_batches(evaluation_result):
    timed = dataclasses.replace(evaluation_result.after, size=1000, seconds=20.0, batches=40)
    text = evaluation_text(dataclasses.replace(evaluation_result, after=timed), TIMESTAMP)
    assert text.count("latency_per_batch_s: 0.500000\nthroughput_samples_per_s: 50.000\n") == 1


def test_the_paired_error_is_found_without_the_predictions(evaluation_result):
    """Of a record only the accuracies and the share of equal predictions are kept."""
    labels = np.random.default_rng(0).integers(0, 2, 500)
    sides = [np.where(np.arange(500) % step, labels, 1 - labels) for step in (7, 5)]
    before, after = (
        dataclasses.replace(evaluation_result.after, accuracy=float((side == labels).mean()), size=500)
        for side in sides
    )
    found = dataclasses.replace(evaluation_result, before=before).drop_error(
        after, float((sides[0] == sides[1]).mean())
    )
    lost = (sides[0] == labels).astype(float) - (sides[1] == labels)
    assert found == pytest.approx(lost.std() / 500**0.5, rel=1e-12)


def test_each_section_begins_with_the_lines_of_the_original_tool(evaluation_result):
    original = sections((GOLDEN / "readme_evaluation.txt").read_text())
    ours = sections(evaluation_text(evaluation_result, TIMESTAMP))
    assert len(ours) >= len(original) == 9
    for theirs, lines in zip(original, ours, strict=False):
        assert list(map(shape, lines[: len(theirs)])) == list(map(shape, theirs))


def test_the_figures_of_the_original_tools_readme_come_out_as_there(evaluation_result):
    # All but the sizes in MB: the README's 52.38 is not its own 440000000 / 8 / 1024^2 = 52.45.
    original = (GOLDEN / "readme_evaluation.txt").read_text().splitlines()
    text = evaluation_text(evaluation_result, TIMESTAMP).splitlines()
    assert [line for line in original if line not in text] == [
        "...",
        "orig_size_mb: 52.38",
        "quant_size_mb: 26.19",
    ]
    assert "orig_size_mb: 52.45" in text


def test_the_default_name_is_the_original_tools(evaluation_result):
    assert evaluation_stem(evaluation_result, TIMESTAMP) == STEM


@pytest.mark.parametrize("method", ["percentile", "hierarchical"])
def test_the_name_tells_the_clustering_and_the_groups(evaluation_result, method):
    allocation = dataclasses.replace(evaluation_result.allocation, method=method, group_bits=(16, 8, 4, 2))
    result = dataclasses.replace(evaluation_result, allocation=allocation)
    assert evaluation_stem(result, TIMESTAMP) == f"eval_BERT_IMDB_{method}_4groups_{TIMESTAMP}"


def test_other_models_and_data_are_named_in_the_name(evaluation_result):
    setting = dataclasses.replace(evaluation_result.setting, model_word="my model", data_word="a/b")
    result = dataclasses.replace(evaluation_result, setting=setting)
    assert evaluation_stem(result, TIMESTAMP).startswith("eval_my-model_a-b_kmeans")


def test_the_drop_is_relative_to_the_baseline(evaluation_result):
    assert evaluation_result.relative_drop(evaluation_result.after) == pytest.approx(0.00222 / 0.92345)


def test_a_baseline_without_a_correct_answer_has_no_relative_drop(evaluation_result):
    before = dataclasses.replace(evaluation_result.before, accuracy=0.0)
    result = dataclasses.replace(evaluation_result, before=before)
    assert result.relative_drop(result.after) == 0.0


def test_a_gain_is_a_negative_drop(evaluation_result):
    result = dataclasses.replace(
        evaluation_result, before=evaluation_result.after, after=evaluation_result.before
    )
    assert "accuracy_drop: -0.002220 (-0.24%)" in evaluation_text(result, TIMESTAMP).splitlines()


def test_a_megabyte_is_1024_times_1024_bytes():
    assert megabytes(8 * 1024 * 1024) == 1.0


@pytest.mark.parametrize(
    ("name", "group_size", "lines"),
    [
        ("rtn", 64, ["quantizer_4bit: rtn, group size 64"]),
        ("rtn", None, ["quantizer_4bit: rtn, group size channel"]),
        ("per-tensor", 64, ["quantizer_4bit: per-tensor"]),
        ("auto", 32, ["quantizer_8bit: rtn, group size channel", "quantizer_4bit: gptq, group size 32"]),
    ],
)
def test_the_report_names_what_quantized_each_width(evaluation_result, name, group_size, lines):
    config = evaluation_result.config.replace(quantizer=name, group_size=group_size)
    used = quantizers_for(name, (16, 8, 4), group_size)
    text = evaluation_text(dataclasses.replace(evaluation_result, config=config, quantizers=used), TIMESTAMP)
    assert {f"quantizer: {name}", *lines} <= set(text.splitlines())


def test_the_report_says_what_gptq_used_in_place_of_calibration_reviews(evaluation_result):
    assert "gptq_reviews: 128" in evaluation_text(evaluation_result, TIMESTAMP).splitlines()
    used = quantizers_for("auto", (4,), 64, calibrated=False)
    result = dataclasses.replace(evaluation_result, quantizers=used, gptq_sample=None)
    text = evaluation_text(result, TIMESTAMP)
    assert "gptq" not in text
    assert "quantizer_4bit: rtn-mse, group size 64" in text.splitlines()


def test_an_unknown_metric_is_called_unknown(evaluation_result):
    sensitivities = dataclasses.replace(evaluation_result.sensitivities, metric="")
    result = dataclasses.replace(evaluation_result, sensitivities=sensitivities)
    assert "sensitivity_metric: unknown" in evaluation_text(result, TIMESTAMP).splitlines()


def test_the_report_lies_beside_the_record_under_the_same_name():
    assert report_path(Path("Evaluation/eval_bert-v1.5_2.json")) == Path("Evaluation/eval_bert-v1.5_2.txt")
