"""Budgets end to end: the size that was planned comes out, and the search for an accuracy."""

import json
import re

import numpy as np
import pytest

from bert_mpq import MpqError, RunConfig, analyse, quantize_and_evaluate, run
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.width_scores import MetricTable, TableLosses, WidthScores, write_width_scores
from bert_mpq.runs.accuracy_search import drop_between
from bert_mpq.runs.make_plan import budget_of, plan_quantization
from bert_mpq.runs.session import Session

BUDGET = {"clustering": "budget", "quantizer": "rtn", "metrics": ("cka",), "max_length": 16}


def test_a_budget_takes_the_size_that_it_planned_and_repeats_from_its_file(tmp_path, model_folder):
    config = RunConfig(
        **BUDGET,
        model=str(model_folder),
        calibration_size=16,
        eval_size=8,
        output=str(tmp_path),
        target="6.5bits",
        pin=("layer_1=8",),
        max_widths=2,
        score="kl",
    )
    done = run(config)
    scores, result = done.analysis.width_scores, done.quantization.result
    assert scores.widths == (4, 2, 3, 8)
    assert scores.metrics == ("predicted", "kl", "cka")
    # The first width is what the sensitivity files and the run record hold.
    assert tuple(row[0] for row in scores.tables[1].values) == pytest.approx(done.analysis.result.kl)
    cka = tuple(row[0] for row in scores.tables[2].values)
    assert cka == pytest.approx(done.analysis.result.scores[0].values)
    assert all(row[1] > row[3] for row in scores.tables[0].values)  # fewer bits, more damage
    assert scores.embeddings.reviews == 16
    assert 0 < scores.embeddings.int8 < scores.embeddings.int4
    assert result.embeddings == "fp32"  # a budget of bits per encoder weight leaves them alone
    assert result.sizes.bits_per_weight <= 6.5
    assert result.allocation.bits[1] == 8
    second = config.replace(sensitivities=str(done.analysis.deciding_file(config)))
    plan = plan_quantization(second)
    assert plan.allocation == result.allocation
    assert budget_of(second).sizes(plan.allocation.bits) == result.sizes
    report = done.quantization.files[0].read_text()
    assert "clustering_method: budget" in report
    assert "target: 6.5bits\nloss: kl\npinned: layer_1=8\nmax_widths: 2\n" in report


def test_scores_of_a_model_of_another_shape_are_refused(tmp_path, model_folder):
    config = RunConfig(
        **BUDGET,
        model=str(model_folder),
        calibration_size=8,
        eval_size=8,
        probe_bits=(4, 2),
        output=str(tmp_path),
        target="4bits",
    )
    file = analyse(config).deciding_file(config)
    content = json.loads(file.read_text())
    content["outline"]["linears"][0]["inputs"] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(MpqError, match="a model of another shape") as refused:
        quantize_and_evaluate(config.replace(sensitivities=str(file)))
    assert refused.value.code == "E-LAYERS"


@pytest.fixture(scope="module")
def searched(tmp_path_factory, classifier):
    """A budget for the embedded classifier with made-up losses: every layer 2 or 16 bits, alike."""
    folder = tmp_path_factory.mktemp("scores")
    scores = WidthScores(
        config=RunConfig(probe_bits=(2,)),
        model_name="embedded",
        split="TRAIN set",
        reviews=8,
        outline=outline_of(classifier.model),
        widths=(2,),
        tables=(MetricTable(metric="predicted", values=((1.0,), (0.9,), (0.8,), (0.7,), (0.6,), (0.5,))),),
        embeddings=TableLosses(reviews=8, int8=1e-5, int4=0.01),
    )
    config = RunConfig(
        **BUDGET,
        model="embedded",
        eval_size=12,
        output=str(folder),
        sensitivities=str(write_width_scores(folder, scores, "20250113_142530")),
        target="9pp",
    )
    return config, Session()


def test_the_search_finds_a_plan_that_keeps_the_accuracy_on_calibration_reviews(searched):
    config, session = searched
    notes = []

    class Listener(Reporter):
        def note(self, text):
            notes.append(text)

    found = quantize_and_evaluate(config, Listener(), session).result
    pattern = r"([\d.]+) bits a weight, (\w+) embeddings, ([\d.]+) MB: ([-+.\d]+) \+- ([.\d]+) pp"
    tried = [re.fullmatch(pattern, note).groups() for note in notes]
    assert tried[0][:2] == ("16.00", "fp32")  # the largest plan first: it decides whether there is an answer
    passing = [float(size) for *_, size, change, error in tried if float(change) - float(error) >= -9]
    assert megabytes(found.sizes.whole_bits) == pytest.approx(min(passing), abs=0.06)
    assert found.embeddings != "fp32"
    assert 2 in found.allocation.bits
    assert found.sample.split == "TRAIN set, held-out half"


def test_a_drop_that_no_plan_keeps_is_refused_with_the_one_that_can_be_kept(searched):
    config, session = searched
    pins = tuple(f"layer_{layer}=2" for layer in range(6))
    with pytest.raises(MpqError, match=r"Even the largest plan loses \d+\.\d\d pp with its") as refused:
        quantize_and_evaluate(config.replace(target="0pp", pin=pins), session=session)
    assert refused.value.code == "E-BUDGET"


def test_a_drop_has_the_standard_error_of_the_paired_difference():
    labels = np.array([1] * 8)
    before = evaluation(np.array([1, 1, 1, 1, 1, 1, 0, 0]))
    after = evaluation(np.array([0, 0, 0, 1, 1, 1, 1, 0]))  # three lost, one won, of eight
    drop = drop_between(before, after, labels)
    assert drop.value == 0.25
    assert drop.error == pytest.approx(np.std([1, 1, 1, 0, 0, 0, -1, 0]) / 8**0.5)
    assert drop.text == "-25.00 +- 23.39 pp"


def evaluation(predictions):
    return Evaluation(accuracy=None, predictions=predictions, logits=None, batches=None)
