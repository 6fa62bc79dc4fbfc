"""The menu's offer to train a model that lost too much, and the table with all three models."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from bert_mpq import RunConfig
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.evaluation import TrainedEvaluation
from bert_mpq.records.training import CurvePoint, TrainingReport
from bert_mpq.runs import phase_2
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.phase_2 import Quantization
from bert_mpq.runs.session import Session
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views.evaluation import advice, evaluation_views
from bert_mpq.ui.wizard import training_offer
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.offers import OFFERS
from tests.helpers.keyboard import pressing

CURVE = (
    CurvePoint(step=0, loss=None, kl=0.25, agreement=0.75, accuracy=0.7),
    CurvePoint(step=6, loss=0.5, kl=0.125, agreement=0.85, accuracy=0.8),
)
TRAINING = TrainingReport(
    training_reviews=90,
    validation_reviews=10,
    batch_size=16,
    learning_rate=2e-4,
    planned_steps=6,
    steps=6,
    best_step=6,
    curve=CURVE,
    seconds=12.0,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_folder):
    """A real evaluation of a tiny classifier at 2 bits, as the menu has it."""
    folder = tmp_path_factory.mktemp("offer")
    (folder / "scores.json").write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))
    config = RunConfig(
        model=str(tiny_folder),
        output=str(folder),
        sensitivities=str(folder / "scores.json"),
        eval_size=40,
        bits=(2, 2),
        quantizer="rtn",
        qat_reviews=40,
        max_length=16,
    )
    plan = plan_quantization(config)
    return Finished(plan=plan, quantization=phase_2.run(plan, Silent(), Session()))


def with_drop(finished, share, **changes):
    """Return the same evaluation of a model that works, with an accuracy that is ``share`` lower after it."""
    result = finished.quantization.result
    before = dataclasses.replace(result.before, accuracy=0.9, correct=36)
    after = dataclasses.replace(result.after, accuracy=before.accuracy * (1 - share))
    result = dataclasses.replace(result, before=before, after=after, **changes)
    return Finished(
        plan=finished.plan, quantization=Quantization(result=result, files=finished.quantization.files)
    )


def trained(result, accuracy, training=TRAINING):
    figures = dataclasses.replace(result.after, accuracy=accuracy)
    return TrainedEvaluation(accuracy=figures, agreement=0.9, sample=result.sample, training=training)


@pytest.mark.parametrize(("share", "offered"), [(0.0, False), (0.029, False), (0.031, True), (0.5, True)])
def test_it_is_offered_when_more_than_3_percent_are_lost(finished, share, offered):
    (offer,) = (offer for offer in OFFERS if offer.title == "Quantization-aware training")
    assert offer.applies(with_drop(finished, share)) is offered


def test_it_is_not_offered_twice_nor_where_nothing_can_be_trained(finished):
    result = finished.quantization.result
    assert not training_offer.applies(with_drop(finished, 0.5, trained=trained(result, 0.5)))
    for changes in ({"bits": (32, 16)}, {"quantizer": "per-tensor"}):
        config = result.config.replace(**changes)
        assert not training_offer.applies(with_drop(finished, 0.5, config=config))


def test_it_trains_and_shows_all_three_models(finished):
    output = Console(file=io.StringIO(), width=100)
    execution = Execution(output, Console(file=io.StringIO()), quiet=True)
    with pressing("down enter"):
        after = training_offer.act(with_drop(finished, 0.5), execution)
    assert after.quantization.result.trained is not None
    shown = output.file.getvalue()
    assert "quantization-aware, up to 2 epochs, learning rate 0.0002" in shown
    assert "on 40 reviews; TRAIN set, calibration half" in shown
    heading = next(line for line in shown.splitlines() if "QAT" in line)
    assert heading.split() == ["2/2", "mix", "FP32", "PTQ", "QAT", "Change"]
    assert "--qat-epochs 2 --qat-reviews 40" in shown.replace("\n", " ")


def test_esc_leads_back_without_a_training(finished):
    output = Console(file=io.StringIO(), width=100)
    with pressing("esc"):
        training_offer.act(with_drop(finished, 0.5), Execution(output, Console(file=io.StringIO())))
    assert output.file.getvalue() == ""


def sentences(result):
    console = Console(file=io.StringIO(), width=200)
    for view in evaluation_views(result):
        console.print(view)
    return console.file.getvalue()


def test_the_training_is_told_in_one_sentence(finished):
    result = finished.quantization.result
    shown = sentences(dataclasses.replace(result, trained=trained(result, 0.5)))
    assert "Trained on 90 calibration reviews, all 6 steps; on 10 others the KL" in shown
    assert "fell from 0.2500 to 0.1250." in shown
    early = dataclasses.replace(TRAINING, planned_steps=20)
    shown = sentences(dataclasses.replace(result, trained=trained(result, 0.5, early)))
    assert "stopped early after 6 of 20 steps" in shown
    useless = dataclasses.replace(TRAINING, best_step=0)
    shown = sentences(dataclasses.replace(result, trained=trained(result, 0.5, useless)))
    assert "made it no better on its validation slice: PTQ was kept." in shown


def test_advice_looks_at_the_model_that_the_run_ends_with(finished):
    lost = with_drop(finished, 0.04).quantization.result
    assert "--qat-epochs 1" in advice(lost)[0]
    recovered = dataclasses.replace(lost, trained=trained(lost, lost.before.accuracy))
    assert advice(recovered) == []
    still = dataclasses.replace(lost, trained=trained(lost, lost.after.accuracy))
    assert "even after training" in advice(still)[0]


def test_advice_after_a_large_drop_names_what_is_left_to_try_in_the_order_of_the_guide(finished):
    lost = with_drop(finished, 0.06).quantization.result
    (line,) = advice(lost)
    order = [
        "over 5 %",
        "more bits",
        "4 groups",
        "more calibration reviews",
        "another metric",
        "--qat-epochs 1",
    ]
    assert [line.index(each) for each in order] == sorted(line.index(each) for each in order)
    assert "--quantizer" not in line
    (line,) = advice(dataclasses.replace(lost, trained=trained(lost, lost.after.accuracy)))
    assert "--qat-epochs" not in line


def test_advice_names_nothing_that_the_run_has_or_cannot_have(finished):
    lost = with_drop(finished, 0.06).quantization.result
    per_tensor = dataclasses.replace(lost, config=lost.config.replace(quantizer="per-tensor"))
    assert "in this order: --quantizer auto; more bits" in advice(per_tensor)[0]
    wide = dataclasses.replace(lost.allocation, group_bits=(32, 16, 8, 4))
    (line,) = advice(dataclasses.replace(lost, allocation=wide))
    assert "more bits" not in line
    assert "4 groups" not in line
    budget = dataclasses.replace(lost.allocation, method="budget", group_bits=(8, 4, 2))
    (line,) = advice(dataclasses.replace(lost, allocation=budget))
    assert "in this order: a larger --target; more calibration reviews" in line
    assert "groups" not in line
