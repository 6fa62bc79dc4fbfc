import dataclasses
import json
import math
import shlex

import pytest

from bert_mpq.records.run_record import record_text
from bert_mpq.records.sensitivity import LayerScore, MetricAgreement, Scores
from bert_mpq.settings.config_json import from_json

TIMESTAMP = "20250113_142530"


def refuse(constant):
    raise ValueError(constant)


def read(result):
    """Return a record as a strict JSON reader sees it."""
    return json.loads(record_text(result, TIMESTAMP), parse_constant=refuse)


@pytest.fixture(params=["sensitivity", "quantize"])
def phase(request):
    return request.param


@pytest.fixture
def result(phase, sensitivity_result, evaluation_result):
    return sensitivity_result if phase == "sensitivity" else evaluation_result


def test_a_record_says_what_it_is(result, phase):
    record = read(result)
    assert (record["schema"], record["version"]) == ("bert-mpq/run-record", 1)
    assert (record["phase"], record["timestamp"]) == (phase, TIMESTAMP)


def test_a_record_holds_the_whole_config(result):
    config = result.config.replace(seed=7, bits=(8, 4), group_size=None)
    assert from_json(read(dataclasses.replace(result, config=config))["config"]) == config


def test_a_record_holds_the_command_that_repeats_the_run(result, phase):
    config = result.config.replace(seed=7)
    record = read(dataclasses.replace(result, config=config))
    assert shlex.split(record["command"]) == ["bert-mpq", phase, "--seed", "7", "--yes"]


def test_a_record_names_the_environment(result):
    environment = read(result)["environment"]
    assert environment["model_revision"] == result.setting.revision
    assert environment["packages"]["torch"]
    assert environment["python"].startswith("3.")


def test_an_unknown_revision_is_null(result):
    unknown = dataclasses.replace(result, setting=dataclasses.replace(result.setting, revision=""))
    assert read(unknown)["environment"]["model_revision"] is None


def test_a_record_holds_the_seconds_of_every_stage(result):
    record = read(result)
    assert record["stages"] == [dataclasses.asdict(stage) for stage in result.stages]
    assert record["seconds"] == sum(stage.seconds for stage in result.stages)


def test_a_record_of_phase_1_holds_every_score(sensitivity_result, scores):
    (first,) = read(sensitivity_result)["scores"]
    assert first["metric"] == "pwcca"
    assert tuple(layer["value"] for layer in first["layers"]) == scores.values


def test_a_score_that_is_no_number_is_null(sensitivity_result):
    layers = (LayerScore(value=math.nan, status="failed", usable=False), LayerScore(value=math.inf))
    record = read(
        dataclasses.replace(
            sensitivity_result,
            scores=(Scores(metric="cka", layers=layers),),
            kl=(math.nan, -math.inf),
            agreement=(MetricAgreement(first="cka", second="kl", spearman=None),),
        )
    )
    assert [layer["value"] for layer in record["scores"][0]["layers"]] == [None, None]
    assert record["kl"] == [None, None]
    assert record["agreement"][0]["spearman"] is None


def test_a_record_of_phase_2_holds_both_evaluations(evaluation_result):
    record = read(evaluation_result)
    assert record["before"] == dataclasses.asdict(evaluation_result.before)
    assert record["after"] == dataclasses.asdict(evaluation_result.after)


def test_a_record_of_phase_2_holds_counted_and_derived_sizes(evaluation_result):
    sizes = read(evaluation_result)["sizes"]
    assert sizes["linear_weights"] == 13_750_000
    assert sizes["original_bits"] == 440_000_000
    assert sizes["ratio"] == 2.0
    assert sizes["bits_per_weight"] == 16.0
    assert sizes["whole_original_bits"] - sizes["whole_bits"] == 220_000_000


def test_names_in_any_script_survive(sensitivity_result):
    setting = dataclasses.replace(sensitivity_result.setting, model_name="模型/ré\udcff")
    record = read(dataclasses.replace(sensitivity_result, setting=setting))
    assert record["setting"]["model_name"] == "模型/ré\udcff"
