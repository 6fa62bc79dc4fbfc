"""Plans with a width for every Linear, from scores to a reloaded export: records, reports, refinement."""

import json
from pathlib import Path

import pytest
import torch

from bert_mpq import MpqError, RunConfig, quantize_and_evaluate, run
from bert_mpq.compute.encoder import linears, outline_of
from bert_mpq.export.layout import read_weights
from bert_mpq.records.reading import read_evaluation
from bert_mpq.records.width_scores import MetricTable, WidthScores, write_width_scores
from bert_mpq.runs import refinement
from bert_mpq.runs.export import export_model
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.session import Session
from bert_mpq.sensitivity.plan_models import PlanModels
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.twins import Twins
from bert_mpq.ui.main import main
from tests.helpers.quantized import quantized_at

WIDTHS = (4, 2, 8)
# Of query, key, value, attention output, intermediate, output at 4 bits; fewer bits hurt four times a bit.
LEVELS = ((4.0, 4.0, 4.0, 1.0, 0.1, 0.1), (0.5, 0.4, 6.0, 0.2, 0.02, 3.0))
TIED = ["8,8,8,4,2,2", "4,4,4,2,2,4"]


@pytest.fixture(scope="module")
def session():
    """What the runs of these tests share."""
    return Session()


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_folder, tiny_model):
    """A budget over the Linears of the tiny classifier, with made-up losses."""
    folder = tmp_path_factory.mktemp("budget")
    rows = [tuple(level * 4.0 ** (4 - bits) for bits in WIDTHS) for layer in LEVELS for level in layer]
    layers = [tuple(map(sum, zip(*rows[at : at + 6], strict=True))) for at in (0, 6)]
    scores = WidthScores(
        config=RunConfig(probe_bits=WIDTHS),
        model_name=str(tiny_folder),
        split="TRAIN set",
        reviews=8,
        outline=outline_of(tiny_model),
        widths=WIDTHS,
        tables=(MetricTable(metric="kl", values=tuple(layers)),),
        linears=(MetricTable(metric="kl", values=tuple(rows)),),
    )
    return RunConfig(
        model=str(tiny_folder),
        output=str(folder),
        sensitivities=str(write_width_scores(folder, scores, "20250113_142530")),
        clustering="budget",
        target="6bits",
        score="kl",
        granularity="linear",
        quantizer="rtn",
        eval_size=8,
        max_length=16,
        device="cpu",
    )


def test_every_linear_has_its_width_in_the_report_and_the_record(config, session):
    done = quantize_and_evaluate(config, session=session)
    result = read_evaluation(done.files[1]).result
    assert result == done.result
    assert result.allocation.linears == (6, 6)
    assert len(result.allocation.bits) == 12
    assert result.sizes.bits_per_weight <= 6
    report = done.files[0].read_text().splitlines()
    for layer, text in enumerate(result.allocation.texts):
        assert text.count(",") == 5
        query, key, value = text.split(",")[:3]
        assert query == key == value
        assert f"layer_{layer}: {text}-bit (sensitivity: {LEVELS_SUM[layer]:.6f})" in report
    assert "granularity: linear, q, k, v tied" in report


LEVELS_SUM = [sum(layer) for layer in LEVELS]


def test_free_query_key_and_value_have_widths_of_their_own_and_pins_hold(config):
    plan = plan_quantization(config.replace(tie=False, pin=("layer_1.attention=8", "*.intermediate.*=4")))
    first, second = plan.allocation.by_layer
    assert second[:4] == (8, 8, 8, 8)
    assert (first[4], second[4]) == (4, 4)
    assert plan.allocation.granularity == "linear"


@pytest.mark.usefixtures("reloads_here")
@pytest.mark.parametrize("file_format", ["mpq", "compressed-tensors"])
def test_an_export_of_it_reloads_bit_by_bit(config, session, tmp_path, file_format):
    record = quantize_and_evaluate(config.replace(tie=False), session=session).files[1]
    export = export_model(record, tmp_path / "folder", file_format, session=session)
    assert export.comparison.identical
    assert export.comparison.max_difference == 0.0
    assert export.size.predicted == export.size.total - export.size.header
    text = read_evaluation(record).result.allocation.texts[0]
    assert f"| layer_0 | {text} |" in (tmp_path / "folder" / "README.md").read_text()


def test_an_onnx_export_of_it_gives_the_logits_of_the_evaluation(config, session, tmp_path):
    record = quantize_and_evaluate(config.replace(tie=False), session=session).files[1]
    comparison = export_model(record, tmp_path / "folder", "onnx", session=session).comparison
    assert comparison.max_difference < 1e-5
    assert comparison.same_predictions == comparison.reviews


def test_trained_weights_keep_their_widths(config, session):
    done = quantize_and_evaluate(config.replace(qat_epochs=1, qat_reviews=20), session=session)
    assert done.result.trained is not None
    kept = read_weights(done.files[2]).weights  # codes and scales that were trained
    assert sorted(weight.bits for weight in kept.values()) == sorted(done.result.allocation.bits)


def test_the_models_of_plans_are_those_that_quantizing_gives(tiny_model):
    twins = Twins.of(tiny_model, Probe.of(RunConfig(quantizer="rtn"), bits=(2, 4, 16)))
    models = PlanModels(twins)
    widths = (2, 4, 16, 32, 2, 2, 4, 4, 16, 2, 32, 4)
    bits = outline_of(tiny_model).bits_by_name(widths, "linear", tie=False)
    mixed = models.of(bits)
    for layer, parts in enumerate(mixed.bert.encoder.layer):
        for name, linear in linears(parts):
            width = bits[f"bert.encoder.layer.{layer}.{name}"]
            alone = quantized_at(tiny_model, (width, width), "rtn", 64).model
            assert torch.equal(linear.weight, alone.bert.encoder.layer[layer].get_submodule(name).weight)
    embeddings = mixed.bert.embeddings.word_embeddings.weight
    assert embeddings.data_ptr() == twins.model.bert.embeddings.word_embeddings.weight.data_ptr()


def test_measured_plans_are_in_the_record_and_the_best_is_taken(config, session):
    done = quantize_and_evaluate(config.replace(refine=6), session=session)
    result = read_evaluation(done.files[1]).result
    found = result.refinement
    assert found == done.result.refinement
    assert len(found.plans) == 6
    assert result.allocation.bits == found.best.bits
    assert found.best.kl == min(plan.kl for plan in found.plans)
    assert found.predicted.predicted <= min(plan.predicted for plan in found.plans) + 1e-12
    assert result.sizes.bits_per_weight <= 6
    report = done.files[0].read_text()
    assert "# Plan Refinement\nrefine_reviews: 256\nrefine_plans: 6\n" in report
    assert f"refine_best_kl: {found.best.kl:.6f}" in report


def test_a_stopped_refinement_goes_on_where_it_was(config, session, tmp_path, monkeypatch):
    config = config.replace(refine=5, output=str(tmp_path))
    whole = quantize_and_evaluate(config, session=session).result
    session.checkpoint_every = 0
    calls, real = [], refinement.evaluate

    def stopping(*arguments, **named):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(refinement, "evaluate", stopping)
    with pytest.raises(KeyboardInterrupt):
        quantize_and_evaluate(config, session=session)
    resumed = quantize_and_evaluate(config, session=session).result
    assert len(calls) == 4 + 1 + 3  # the FP32 model again, and the plans that were left
    assert resumed.refinement == whole.refinement


def test_groups_of_layers_are_no_groups_of_linears(config):
    with pytest.raises(MpqError, match="--granularity linear needs --clustering budget") as refused:
        plan_quantization(config.replace(clustering="kmeans", target=None))
    assert refused.value.code == "E-CONFIG"


def test_scores_without_linears_are_refused_with_what_to_do(config, tmp_path):
    content = json.loads(Path(config.sensitivities).read_text())
    del content["linears"]  # as older versions wrote it
    path = tmp_path / "widths_20250113_142530.json"
    path.write_text(json.dumps(content))
    config = config.replace(sensitivities=str(path))
    with pytest.raises(MpqError, match="The score kl of single Linears was not measured") as refused:
        plan_quantization(config)
    assert refused.value.code == "E-SCORE"
    assert plan_quantization(config.replace(granularity="layer")).allocation.granularity == "layer"


def test_the_plan_command_shows_the_widths_of_each_layer_and_what_measuring_told(config, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ["plan", "--sensitivities", config.sensitivities, "--granularity", "linear", "--target", "6bits"]
    words += ["--score", "kl", "--quantizer", "rtn", "--max-length", "16", "--device", "cpu"]
    assert main([*words, "--output", config.output, "--model", config.model]) == 0
    shown = capsys.readouterr().out
    assert "one Linear quantized at a time" in shown
    assert "Linears at each width" in shown
    assert max(map(len, shown.split("Plan again")[0].splitlines())) <= 80
    assert main([*words, "--output", config.output, "--model", config.model, "--refine", "4"]) == 0
    again = capsys.readouterr().out
    assert "Measured on 256 calibration reviews: the optimum of the prediction has KL" in again
    assert "--refine 4" in again


def test_phase_1_measures_every_linear_where_a_budget_is_to_use_it(config, session):
    config = config.replace(sensitivities=None, calibration_size=8, probe_bits=(4, 2), metrics=("kl",))
    done = run(config.replace(target="5bits"), session=session)
    predicted, table = done.analysis.width_scores.linears
    assert predicted.metric == "predicted"
    assert (table.metric, len(table.values)) == ("kl", 12)
    assert all(row[1] > row[0] for row in table.values)  # fewer bits, more damage
    assert done.quantization.result.allocation.linears == (6, 6)
    _, layers = done.analysis.width_scores.tables
    assert 0 < sum(row[1] for row in table.values) < 10 * sum(row[1] for row in layers.values)
