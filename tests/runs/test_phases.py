"""The Python API, end to end on real reviews."""

import gc
import json
import weakref

import pytest

from bert_mpq import MpqError, RunConfig, analyse, quantize_and_evaluate, run
from bert_mpq.compute.evaluate import Logits
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.records.decision import decide
from bert_mpq.runs.session import Session
from bert_mpq.sensitivity.differentiated_classifier import DifferentiatedClassifier
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.settings.errors import ERROR_CODES

SMALL = {
    "model": "embedded",
    "calibration_size": 40,
    "eval_size": 40,
    "max_length": 16,
    "metrics": ("cka",),
    "quantizer": "rtn",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A full run of the embedded classifier."""
    return run(RunConfig(**SMALL, output=str(tmp_path_factory.mktemp("whole"))))


@pytest.fixture
def config(small_model, tmp_path):
    """The settings of a run that is quicker still."""
    return RunConfig(**SMALL | {"model": str(small_model)}, output=str(tmp_path))


def test_run_writes_what_its_result_says(whole):
    result, folder = whole, whole.analysis.files[0].parents[1]
    analysis, quantization = result.analysis.result, result.quantization.result
    flat = json.loads((folder / "Sensitivities" / "layer_sensitivity_BERT_IMDB_cka.json").read_text())
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


@pytest.mark.parametrize("metrics", [("pwcca", "cka"), ("cka", "svcca"), ("predicted", "kl")])
def test_the_metric_that_decides_is_said_and_is_that_of_the_bits(config, metrics):
    config = config.replace(calibration_size=120, metrics=metrics, bits=(8, 4))
    told = []

    class Listening(Silent):
        def note(self, text):
            told.append(text)

    result = run(config, Listening())
    decision = decide(result.analysis.result)
    assert result.quantization.result.sensitivities.metric == decision.metric
    assert told[-1] == decision.sentence
    assert f"decision: {decision.sentence}\n" in result.analysis.files[1].read_text()
    saved = json.loads(result.analysis.files[-1].read_text())["decision"]
    assert saved == {
        "metric": decision.metric,
        "spearman": pytest.approx(decision.spearman),
        "sentence": decision.sentence,
    }


def test_predicted_alone_runs_no_quantized_layer(config):
    result = analyse(config.replace(metrics=("predicted",))).result
    assert "Compare activations" not in [stage.name for stage in result.stages]
    assert result.kl == ()
    assert all(0 < layer.interval[0] < layer.value < layer.interval[1] for layer in result.scores[0].layers)
    assert decide(result).sentence.endswith("No damage was measured: the choice is unverified.")


def test_both_passes_use_twins_of_one_walk_and_give_what_each_gives_alone(config, monkeypatch):
    walks = []

    class Counted(LayerReviews):
        def __enter__(self):
            walks.append(len(self.work.tokens))
            return super().__enter__()

    monkeypatch.setattr("bert_mpq.sensitivity.twins.LayerReviews", Counted)
    config = config.replace(quantizer="gptq", gptq_reviews=12, probe_bits=(4, 2))
    both = analyse(config.replace(metrics=("cka", "predicted")))
    assert walks == [12]
    measured = analyse(config.replace(metrics=("cka",), probe_bits=(4,)))
    predicted = analyse(config.replace(metrics=("predicted",)))
    assert walks == [12, 12, 12]
    assert both.result.scores == (*measured.result.scores, *predicted.result.scores)
    assert both.result.kl == measured.result.kl
    assert both.width_scores.tables == predicted.width_scores.tables
    assert both.width_scores.linears == predicted.width_scores.linears


def test_no_pass_holds_the_modules_of_the_one_before_it(config, monkeypatch):
    made, alive = [], []
    for module in (ProbedClassifier, DifferentiatedClassifier, Logits):

        def noted(self, *args, whole=module.__init__):
            gc.collect()
            alive.append([type(each).__name__ for ref in made if (each := ref()) is not None])
            made.append(weakref.ref(self))
            whole(self, *args)

        monkeypatch.setattr(module, "__init__", noted)
    run(config.replace(metrics=("cka", "predicted")))
    assert len(alive) == 4  # the two passes of Phase 1, then two evaluations
    assert not any(alive)


def test_a_budget_measures_one_width_and_predicts_all(config):
    analysis = analyse(config.replace(probe_bits=(4, 2)))
    assert analysis.width_scores.metrics == ("predicted",)
    (linears,) = analysis.width_scores.linears
    assert len(linears.values) == 30
    measured = analyse(config.replace(probe_bits=(4, 2), score="cka"))
    assert measured.width_scores.metrics == ("predicted", "kl", "cka")
    assert measured.result.kl == pytest.approx(analysis.result.kl, rel=1e-3)


def test_phases_agree_on_samples_but_never_share_a_review(whole):
    first, second = whole.analysis.result.sample, whole.quantization.result.sample
    assert (first.size, first.positive, second.size, second.positive) == (40, 20, 40, 20)
    assert first.split == "TRAIN set, calibration half"
    assert second.split == "TRAIN set, held-out half"
    assert first.fingerprint != second.fingerprint


def test_a_second_run_destroys_nothing(config):
    first = analyse(config)
    kept = first.files[-1].read_text()
    second = analyse(config.replace(seed=1))
    assert first.files[-1] != second.files[-1]
    assert first.files[-1].read_text() == kept


def test_a_session_evaluates_the_fp32_model_once(config, tmp_path):
    scores = {f"layer_{index}": 0.1 * (index + 1) for index in range(5)}
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(scores))
    config = config.replace(sensitivities=str(path))
    session = Session()
    first = quantize_and_evaluate(config, session=session).result
    second = quantize_and_evaluate(config.replace(bits=(8, 4, 2)), session=session).result
    assert second.before is first.before
    other = quantize_and_evaluate(config.replace(eval_size=30), session=session).result
    assert other.before is not first.before
    assert other.before.size == 30


@pytest.mark.parametrize("scope", ["isolated", "cumulative"])
def test_other_scopes_score_every_layer(config, scope):
    result = analyse(config.replace(scope=scope)).result
    assert all(0 < value < 1 for value in result.scores[0].values)
    assert result.kl == ()


def test_errors_leave_no_artifact(config, tmp_path):
    with pytest.raises(MpqError) as caught:
        run(config.replace(eval_size=20_000))
    assert caught.value.code == "E-DATA-SIZE"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_every_error_code_has_a_test_that_provokes_it(request):
    tests = "".join(path.read_text() for path in request.config.rootpath.joinpath("tests").rglob("test_*.py"))
    assert [code for code in ERROR_CODES if tests.count(code) < 1] == []
