"""The menu's offer to learn the rounding where a plan has 2 or 3 bits, and what a GPU makes of auto."""

import dataclasses
import io
import json
import shutil

import pytest
from rich.console import Console

from bert_mpq import RunConfig
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization import layerwise
from bert_mpq.quantization.rounding import RoundingRecipe
from bert_mpq.runs import make_plan, phase_2
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.phase_2 import Quantization
from bert_mpq.runs.session import Session
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard import rounding_offer
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.offers import OFFERS
from tests.helpers.keyboard import pressing


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_model, tokenizer_files):
    """A real evaluation of a tiny classifier at 8 and 2 bits, as the menu has it."""
    folder = tmp_path_factory.mktemp("offer")
    tiny_model.save_pretrained(folder / "tiny-bert")
    for file in tokenizer_files:
        shutil.copy(file, folder / "tiny-bert")
    (folder / "scores.json").write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))
    config = RunConfig(
        model=str(folder / "tiny-bert"),
        output=str(folder),
        sensitivities=str(folder / "scores.json"),
        eval_size=20,
        gptq_reviews=12,
        bits=(8, 2),
        device="cpu",
        max_length=16,
    )
    plan = plan_quantization(config)
    return Finished(plan=plan, quantization=phase_2.run(plan, Silent(), Session()))


def with_result(finished, **changes):
    quantization = finished.quantization
    result = dataclasses.replace(quantization.result, **changes)
    return Finished(plan=finished.plan, quantization=Quantization(result=result, files=quantization.files))


def test_it_is_offered_before_the_training(finished):
    titles = [offer.title for offer in OFFERS]
    assert titles.index("Learned rounding") < titles.index("Quantization-aware training")
    assert OFFERS[titles.index("Learned rounding")].applies(finished)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantizer": "learned"},
        {"quantizer": "per-tensor"},
        {"clustering": "budget", "target": "0.5pp"},
    ],
)
def test_it_is_not_offered_where_it_has_been_done_or_cannot_be(finished, changes):
    config = finished.quantization.result.config.replace(**changes)
    assert not rounding_offer.applies(with_result(finished, config=config))


def test_it_is_not_offered_without_few_bits_or_calibration_reviews(finished):
    allocation = dataclasses.replace(finished.quantization.result.allocation, bits=(8, 4))
    assert not rounding_offer.applies(with_result(finished, allocation=allocation))
    assert not rounding_offer.applies(with_result(finished, gptq_sample=None))


def test_its_time_follows_from_the_evaluation(finished):
    result = finished.quantization.result
    stages = tuple(
        dataclasses.replace(stage, seconds=10.0) if stage.name == "Evaluate quantized" else stage
        for stage in result.stages
    )
    passes = RoundingRecipe().forward_passes(12)
    # 10 s for 20 reviews through both layers; one of them is learned.
    assert rounding_offer.seconds(dataclasses.replace(result, stages=stages)) == pytest.approx(
        passes * 0.5 / 2
    )


def test_it_says_how_long_learns_and_evaluates(finished, monkeypatch):
    monkeypatch.setattr(layerwise, "RoundingRecipe", lambda seed: RoundingRecipe(steps=4, seed=seed))
    output = Console(file=io.StringIO(), width=100)
    with pressing("enter"):
        after = rounding_offer.act(finished, Execution(output, Console(file=io.StringIO()), quiet=True))
    result = after.quantization.result
    assert [entry.text for entry in result.quantizers] == [
        "rtn, group size channel",
        "learned, group size 64",
    ]
    shown = output.file.getvalue()
    assert "2 bits: learned rounding, groups of 64" in shown
    assert "--quantizer learned" in shown.replace("\n", " ")


def test_esc_leads_back(finished):
    output = Console(file=io.StringIO(), width=100)
    with pressing("esc"):
        assert rounding_offer.act(finished, Execution(output, Console(file=io.StringIO()))) is None
    assert output.file.getvalue() == ""


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "learned"),
        ({"device": "cpu"}, "auto"),
        ({"quantizer": "gptq"}, "gptq"),
        ({"bits": (8, 4)}, "auto"),
        ({"bits": (4, 3)}, "learned"),
    ],
)
def test_with_a_gpu_auto_learns_the_rounding_of_few_bits_and_the_plan_names_it(
    finished, monkeypatch, changes, chosen
):
    monkeypatch.setattr(make_plan, "accelerator", lambda: "cuda")
    config = finished.plan.config.replace(**{"device": "auto", **changes})
    plan = plan_quantization(config, finished.plan.sources)
    assert plan.config.quantizer == chosen
    assert ("--quantizer learned" in plan.repeat) == (chosen == "learned")
