"""Budgets end to end: the size that was planned comes out, and the search for an accuracy."""

import json

import pytest

from bert_mpq import MpqError, RunConfig, analyse, quantize_and_evaluate, run
from bert_mpq.compute.encoder import outline_of
from bert_mpq.records.width_scores import MetricTable, WidthScores, write_width_scores
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
    )
    done = run(config)
    scores, result = done.analysis.width_scores, done.quantization.result
    assert scores.widths == (4, 2, 3, 8)
    assert scores.metrics == ("kl", "cka")
    # The first width is what the sensitivity files and the run record hold.
    assert tuple(row[0] for row in scores.tables[0].values) == pytest.approx(done.analysis.result.kl)
    cka = tuple(row[0] for row in scores.tables[1].values)
    assert cka == pytest.approx(done.analysis.result.scores[0].values)
    assert all(row[1] > row[3] for row in scores.tables[0].values)  # fewer bits, more damage
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
        tables=(MetricTable(metric="kl", values=((1.0,), (0.9,), (0.8,), (0.7,), (0.6,), (0.5,))),),
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

    class Listener:
        def track(self, items, title, total, weight=None):
            yield from items

        def note(self, text):
            notes.append(text)

    found = quantize_and_evaluate(config, Listener(), session).result
    tried = [float(note.split(": ")[1].split()[0]) for note in notes]
    sizes = [float(note.split()[0]) for note in notes]
    assert sizes[0] == 16  # the largest plan first: it decides whether there is an answer
    passing = [size for size, change in zip(sizes, tried, strict=True) if change >= -9]
    assert found.sizes.bits_per_weight == pytest.approx(min(passing), abs=0.01)
    assert 2 in found.allocation.bits
    assert found.sample.split == "TRAIN set, held-out half"


def test_a_drop_that_no_plan_keeps_is_refused_with_the_one_that_can_be_kept(searched):
    config, session = searched
    pins = tuple(f"layer_{layer}=2" for layer in range(6))
    with pytest.raises(MpqError, match=r"Even the largest plan loses \d+\.\d\d pp") as refused:
        quantize_and_evaluate(config.replace(target="0pp", pin=pins), session=session)
    assert refused.value.code == "E-BUDGET"
