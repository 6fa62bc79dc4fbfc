"""The Python API, end to end on real reviews."""

import dataclasses
import json

import pytest

from bert_mpq import MpqError, RunConfig, analyse, quantize_and_evaluate, run
from bert_mpq.compute.reporting import Silent
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import ERROR_CODES

SMALL = {
    "model": "embedded",
    "calibration_size": 40,
    "eval_size": 40,
    "max_length": 16,
    "metrics": ("cka",),
    "quantizer": "rtn",
}


def test_run_writes_what_its_result_says(tmp_path):
    result = run(RunConfig(**SMALL, output=str(tmp_path)))
    analysis, quantization = result.analysis.result, result.quantization.result
    flat = json.loads((tmp_path / "Sensitivities" / "layer_sensitivity_BERT_IMDB_cka.json").read_text())
    assert tuple(flat.values()) == analysis.scores[0].values == quantization.sensitivities.values
    report = result.quantization.files[0].read_text()
    assert f"accuracy: {quantization.after.accuracy:.6f}" in report
    for index, bits in enumerate(quantization.allocation.bits):
        assert f"layer_{index}: {bits}-bit (sensitivity: {analysis.scores[0].values[index]:.6f})" in report
    order = sorted(range(6), key=lambda index: analysis.scores[0].values[index])
    bits = quantization.allocation.bits
    assert bits[order[-1]] == 16
    assert bits[order[0]] == 4
    assert all(path.is_file() for path in (*result.analysis.files, *result.quantization.files))


@pytest.mark.parametrize(
    ("reviews", "metrics", "deciding"),
    [
        (120, ("pwcca", "cka"), "cka"),  # fewer than 10 for each of 2 x 16 directions
        (400, ("pwcca", "cka"), "pwcca"),
        (120, ("pwcca", "svcca"), "pwcca"),  # neither has enough
        (12, ("svcca", "cka"), "cka"),  # SVCCA is saturated
    ],
)
def test_the_first_metric_with_enough_reviews_decides_the_bits(
    small_model, tmp_path, reviews, metrics, deciding
):
    config = RunConfig(**SMALL | {"model": str(small_model)}, output=str(tmp_path))
    config = config.replace(calibration_size=reviews, metrics=metrics, bits=(8, 4))
    told = []

    class Listening(Silent):
        def note(self, text):
            told.append(text)

    result = run(config, Listening())
    assert result.quantization.result.sensitivities.metric == deciding
    why = {120: "too few reviews for PWCCA", 12: "SVCCA has no valid scores"}
    assert told == ([f"CKA decides the bits: {why[reviews]}."] if deciding == "cka" else [])


def test_svcca_decides_only_where_it_is_the_first(small_model, tmp_path):
    config = RunConfig(**SMALL | {"model": str(small_model)}, output=str(tmp_path))
    analysis = analyse(config.replace(calibration_size=300, metrics=("pwcca", "svcca", "cka")))
    pwcca, svcca, cka = analysis.result.scores
    assert svcca.enough_reviews
    few = dataclasses.replace(
        pwcca, layers=tuple(dataclasses.replace(layer, status="few_samples") for layer in pwcca.layers)
    )

    def deciding(*scores):
        result = dataclasses.replace(analysis.result, scores=scores)
        return dataclasses.replace(analysis, result=result).deciding_scores(config).metric

    assert deciding(few, svcca, cka) == "cka"
    assert deciding(few, svcca) == "pwcca"
    assert deciding(svcca, cka) == "svcca"


def test_a_run_until_stable_keeps_to_the_metric_it_waited_for(small_model, tmp_path):
    config = RunConfig(**SMALL | {"model": str(small_model)}, output=str(tmp_path))
    config = config.replace(calibration_size=120, metrics=("pwcca", "cka"), bits=(8, 4))
    analysis = analyse(config)
    assert analysis.deciding_scores(config).metric == "cka"
    assert analysis.deciding_scores(config.replace(until_stable=True)).metric == "pwcca"
    assert analysis.deciding_note(config.replace(until_stable=True)) == ""
    assert analysis.deciding_note(config.replace(clustering="budget", target="4bits")) == ""


def test_phases_agree_on_samples_but_never_share_a_review(tmp_path):
    result = run(RunConfig(**SMALL, output=str(tmp_path)))
    first, second = result.analysis.result.sample, result.quantization.result.sample
    assert (first.size, first.positive, second.size, second.positive) == (40, 20, 40, 20)
    assert first.split == "TRAIN set, calibration half"
    assert second.split == "TRAIN set, held-out half"
    assert first.fingerprint != second.fingerprint


def test_a_second_run_destroys_nothing(tmp_path):
    config = RunConfig(**SMALL, output=str(tmp_path))
    first = analyse(config)
    kept = first.files[-1].read_text()
    second = analyse(config.replace(seed=1))
    assert first.files[-1] != second.files[-1]
    assert first.files[-1].read_text() == kept


def test_a_session_evaluates_the_fp32_model_once(tmp_path):
    scores = {f"layer_{index}": 0.1 * (index + 1) for index in range(6)}
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(scores))
    config = RunConfig(**SMALL, output=str(tmp_path), sensitivities=str(path))
    session = Session()
    first = quantize_and_evaluate(config, session=session).result
    second = quantize_and_evaluate(config.replace(bits=(8, 4, 2)), session=session).result
    assert second.before is first.before
    other = quantize_and_evaluate(config.replace(eval_size=30), session=session).result
    assert other.before is not first.before
    assert other.before.size == 30


@pytest.mark.parametrize("scope", ["isolated", "cumulative"])
def test_other_scopes_score_every_layer(tmp_path, scope):
    result = analyse(RunConfig(**SMALL, scope=scope, output=str(tmp_path))).result
    assert all(0 < value < 1 for value in result.scores[0].values)
    assert result.kl == ()


def test_errors_leave_no_artifact(tmp_path):
    with pytest.raises(MpqError) as caught:
        run(RunConfig(**SMALL, output=str(tmp_path)).replace(eval_size=20_000))
    assert caught.value.code == "E-DATA-SIZE"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_error_code_has_a_test_that_provokes_it(request):
    tests = "".join(path.read_text() for path in request.config.rootpath.joinpath("tests").rglob("test_*.py"))
    assert [code for code in ERROR_CODES if tests.count(code) < 1] == []
