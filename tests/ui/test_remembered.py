"""What the menu takes from the newest runs of a folder: defaults, settings, estimates."""

import json
import platform

import pytest

from bert_mpq.records.reading import list_analyses, list_evaluations
from bert_mpq.runs.durations import measured_rate
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.views.outcome import about
from bert_mpq.ui.wizard.remembered import remembered
from tests.helpers.golden import RUNS


@pytest.fixture
def record(tmp_path):
    """Put a record of a real run into the folder, changed."""

    def put(pattern, folder, **changes):
        source = min(RUNS.glob(pattern))
        content = json.loads(source.read_text())
        content["timestamp"] = changes.pop("timestamp", content["timestamp"])
        content["environment"]["platform"] = changes.pop("platform", platform.platform())
        for field, value in changes.items():
            content["config" if hasattr(RunConfig(), field) else "setting"][field] = value
        path = tmp_path / folder / source.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return content

    return put


def test_an_empty_folder_gives_the_defaults(tmp_path):
    assert remembered(str(tmp_path)) == RunConfig(output=str(tmp_path))


def test_each_phase_remembers_its_own_answers(tmp_path, record):
    record("run_*", "Sensitivities", metrics=["cka"])
    record("eval_*", "Evaluation", clustering="percentile", bits=[8, 4, 2])
    config = remembered(str(tmp_path))
    assert (config.metrics, config.calibration_size) == (("cka",), 1000)
    assert (config.clustering, config.bits, config.eval_size) == ("percentile", (8, 4, 2), 1000)


def test_settings_come_from_the_newer_run(tmp_path, record):
    record("run_*", "Sensitivities", timestamp="20260101_000000", max_length=128)
    record("eval_*", "Evaluation", timestamp="20260102_000000", max_length=64)
    config = remembered(str(tmp_path))
    assert (config.max_length, config.model) == (64, "embedded")


@pytest.mark.parametrize(
    ("field", "value", "default"),
    [("model", "/gone/model", "default"), ("data", "/gone.csv", "imdb"), ("device", "mps", "auto")],
)
def test_a_setting_that_is_no_longer_valid_is_forgotten(tmp_path, record, field, value, default):
    record("run_*", "Sensitivities", **{field: value})
    assert getattr(remembered(str(tmp_path)), field) == default


def test_what_was_said_of_the_data_is_remembered_with_the_data(tmp_path, record, review_file):
    said = {"text_column": "text", "labels": ["0=negative", "1=positive"]}
    record("run_*", "Sensitivities", data=str(review_file), **said)
    config = remembered(str(tmp_path))
    assert (config.data, config.text_column, config.labels) == (
        str(review_file),
        "text",
        ("0=negative", "1=positive"),
    )
    review_file.unlink()
    config = remembered(str(tmp_path))
    assert (config.data, config.text_column, config.labels) == ("imdb", None, ())


def test_a_record_that_cannot_be_read_is_left_out(tmp_path):
    (tmp_path / "Sensitivities").mkdir()
    (tmp_path / "Sensitivities" / "run_1.json").write_text('{"schema":')
    assert remembered(str(tmp_path)) == RunConfig(output=str(tmp_path))


def rate(tmp_path, **changes):
    config = RunConfig(model="embedded", device="cpu", max_length=128).replace(**changes)
    return measured_rate(list_analyses(tmp_path), config, "embedded", config.max_length)


def test_an_estimate_is_what_the_same_run_took(tmp_path, record):
    content = record("run_*", "Sensitivities")
    measured = rate(tmp_path)
    assert measured.seconds(1000) == pytest.approx(content["seconds"])
    assert measured.fixed < measured.seconds(500) < measured.seconds(1000)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_length": 64},
        {"precision": "bf16"},
        {"scope": "isolated"},
        {"device": "cuda"},
        {"probe_bits": (4, 2)},
    ],
)
def test_a_run_of_another_kind_gives_no_estimate(tmp_path, record, changes):
    record("run_*", "Sensitivities")
    assert rate(tmp_path) is not None
    assert rate(tmp_path, **changes) is None


def test_another_machine_gives_no_estimate(tmp_path, record):
    record("run_*", "Sensitivities", platform="Windows-11")
    assert rate(tmp_path) is None


def test_an_fp32_evaluation_that_was_remembered_counts_again(tmp_path, record):
    content = record("eval_*", "Evaluation")
    path = next(tmp_path.glob("Evaluation/*.json"))
    seconds = {stage["name"]: stage["seconds"] for stage in content["stages"]}
    # As long as the other evaluation: on that machine other work slowed one of them down.
    whole = sum(seconds.values()) - seconds["Evaluate FP32"] + seconds["Evaluate quantized"]
    content["stages"] = [stage for stage in content["stages"] if stage["name"] != "Evaluate FP32"]
    path.write_text(json.dumps(content))
    config = RunConfig(model="embedded", device="cpu", max_length=128)
    measured = measured_rate(list_evaluations(tmp_path), config, "embedded", 128)
    assert measured.seconds(1000) == pytest.approx(whole, rel=0.2)


def test_estimates_have_no_false_precision():
    assert [about(s) for s in (1, 31, 70, 3000, 3800, 7190)] == [
        "10 s",
        "31 s",
        "1 min",
        "50 min",
        "1 h 00 min",
        "2 h 00 min",
    ]


def test_a_search_for_an_accuracy_has_no_estimate(tmp_path, record):
    record("eval_*", "Evaluation")
    config = RunConfig(model="embedded", device="cpu", max_length=128, clustering="budget", target="4bits")
    assert measured_rate(list_evaluations(tmp_path), config, "embedded", 128) is not None
    searching = config.replace(target="0.5pp")
    assert measured_rate(list_evaluations(tmp_path), searching, "embedded", 128) is None
