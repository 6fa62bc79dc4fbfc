"""Phase 2 with quantization-aware training, end to end on real reviews with a tiny classifier."""

import json

import pytest

from bert_mpq import MpqError, RunConfig, quantize_and_evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.training.checkpoint import NAME
from bert_mpq.records.reading import read_evaluation
from bert_mpq.runs.checks import check_trainable
from bert_mpq.runs.evaluated_model import evaluated_model
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.session import Session
from bert_mpq.runs.training import has_checkpoint
from bert_mpq.sources.classifiers import find_classifier


@pytest.fixture(scope="module")
def session():
    """Keeps model and reviews for all tests."""
    return Session()


@pytest.fixture(scope="module")
def settings(tmp_path_factory, tiny_folder):
    """Two layers at 8 and 2 bits, trained on 40 reviews."""
    folder = tmp_path_factory.mktemp("training")
    scores = folder / "scores.json"
    scores.write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))
    return RunConfig(
        model=str(tiny_folder),
        output=str(folder),
        sensitivities=str(scores),
        eval_size=40,
        bits=(8, 2),
        gptq_reviews=16,
        qat_epochs=2,
        qat_reviews=40,
        max_length=16,
    )


@pytest.fixture(scope="module")
def finished(settings, session):
    return quantize_and_evaluate(settings, session=session)


@pytest.fixture
def config(settings, tmp_path):
    return settings.replace(output=str(tmp_path))


class Interrupted(Silent):
    """Ctrl-C as soon as the training has made a step."""

    def __init__(self):
        self.notes = []

    def track(self, items, title, total, weight=None):
        for item in items:
            yield item
            if title == "Quantization-aware training":
                raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def test_report_and_record_hold_all_three_models(finished):
    result, trained = finished.result, finished.result.trained
    assert (trained.training.training_reviews, trained.training.validation_reviews) == (36, 4)
    assert trained.sample.split == "TRAIN set, calibration half"
    assert trained.sample.fingerprint != result.sample.fingerprint
    assert result.final is trained.accuracy
    report, record = (path.read_text() for path in finished.files[:2])
    for model in (result.before, result.after, trained.accuracy):
        assert f"accuracy: {model.accuracy:.6f}\nprecision: {model.precision:.6f}" in report
    assert report.index("# Compression Metrics") < report.index("# Quantization-Aware Training")
    row = [result.before.loss, result.after.loss, trained.accuracy.loss]
    assert "\t".join(["loss", *(f"{value:.6f}" for value in row)]) in report
    written = json.loads(record)["trained"]
    assert written["accuracy"]["loss"] == trained.accuracy.loss
    steps = [point["step"] for point in written["training"]["curve"]]
    assert steps == [point.step for point in trained.training.curve]
    assert not has_checkpoint(result.config.output)


def test_a_record_with_a_training_can_be_read_back(finished):
    assert read_evaluation(finished.files[0]).result.trained == finished.result.trained


def test_without_epochs_nothing_is_trained(config, session, finished):
    quantization = quantize_and_evaluate(config.replace(qat_epochs=0), session=session)
    assert quantization.result.trained is None
    assert quantization.result.after is finished.result.after  # the same weights are measured once
    assert quantization.result.final is quantization.result.after
    assert "Quantization-Aware" not in quantization.files[0].read_text()


@pytest.fixture
def interrupted(config, session, monkeypatch):
    """A run that was stopped after a step of its training; returns what was said."""
    monkeypatch.setattr("bert_mpq.runs.training.EVERY", 0.0)
    reporter = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        quantize_and_evaluate(config, reporter, session)
    return reporter.notes


def test_an_interrupted_training_ends_as_if_nothing_had_happened(config, session, finished, interrupted):
    assert has_checkpoint(config.output)
    assert "the same command goes on with it" in interrupted[-1]
    resumed = quantize_and_evaluate(config, session=session).result.trained
    assert resumed.training.curve == finished.result.trained.training.curve
    assert resumed.accuracy.loss == finished.result.trained.accuracy.loss
    assert not has_checkpoint(config.output)


def test_the_checkpoint_of_another_run_is_refused_before_anything_slow(
    config, session, interrupted, monkeypatch
):
    monkeypatch.setattr("bert_mpq.runs.phase_2.quantized_copy", None)
    with pytest.raises(MpqError) as caught:
        quantize_and_evaluate(config.replace(bits=(4, 2)), session=session)
    assert caught.value.code == "E-CHECKPOINT"
    assert NAME in caught.value.title
    assert "--qat-epochs 2" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"bits": (32, 16)}, "E-CONFIG", "weights below 16 bits"),
        ({"quantizer": "per-tensor"}, "E-CONFIG", "symmetric"),
        ({"qat_reviews": 20_000}, "E-DATA-SIZE", "20,000 asked"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_planned(config, changes, code, said):
    with pytest.raises(MpqError, match=said) as caught:
        plan_quantization(config.replace(**changes))
    assert caught.value.code == code


def test_training_in_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MpqError) as caught:
        check_trainable(RunConfig(qat_epochs=1), find_classifier("embedded"))
    assert caught.value.code == "E-DISTRIBUTED"


def test_the_whole_calibration_split_is_the_default(config):
    plan = plan_quantization(config.replace(qat_reviews=None))
    assert plan.training == 12_450


@pytest.mark.parametrize("rate", [0.0, -1.0, 2.0, float("nan")])
def test_learning_rates_that_make_no_sense_are_refused(rate):
    with pytest.raises(MpqError, match="qat-learning-rate"):
        RunConfig(qat_learning_rate=rate)


def test_trained_weights_are_kept_so_that_they_can_be_exported(finished):

    _, record, weights = finished.files
    read = read_evaluation(record)
    assert weights.parent / read.result.weights_file == weights
    model = evaluated_model(read, Session(), Silent()).model  # raises E-WEIGHTS for any other weights
    assert weights_fingerprint(model.state_dict()) == finished.result.weights_fingerprint
