"""Scores against the damage: on a tiny model end to end, and what is made of known correlations."""

import copy
import json
import math

import numpy as np
import pytest
import torch

from bert_mpq import RunConfig
from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.sizes import size_report
from bert_mpq.records.validation import Predictor, ValidationResult, WidthValidation
from bert_mpq.runs import validate
from bert_mpq.runs.equal_size_plans import candidate_plans
from bert_mpq.runs.make_plan import plan_validation
from bert_mpq.runs.session import Session
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample
from bert_mpq.ui.views.validation import validation_views, verdict
from tests.helpers.quantized import quantize_whole


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model, tokenizer_files):
    folder = tmp_path_factory.mktemp("model")
    tiny_model.save_pretrained(folder)
    for file in tokenizer_files:
        (folder / file.name).write_bytes(file.read_bytes())
    return RunConfig(
        model=str(folder),
        calibration_size=40,
        eval_size=16,
        max_length=12,
        metrics=("pwcca", "cka"),
        probe_bits=(2, 4, 3),
        granularity="linear",
        quantizer="rtn",
        output=str(tmp_path_factory.mktemp("out")),
    )


@pytest.fixture(scope="module")
def validation(config):
    return validate.run(plan_validation(config), Silent(), Session())


def log_p_of(tokenizer_files, split, size):
    """What gives a model's (size, 2) log probabilities of the reviews that a run draws."""
    from transformers import AutoTokenizer

    reviews = sample(load_reviews(find_reviews("imdb"), split), size, "stratified", 42)
    tokens = tokenize(reviews, AutoTokenizer.from_pretrained(tokenizer_files[0].parent), 12, Silent())
    batch = tokens.batch(np.arange(size))

    def log_p(model):
        with torch.inference_mode():
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        return torch.log_softmax(logits.double(), -1)

    return log_p


def test_the_kl_is_that_of_quantizing_one_linear_at_a_time(validation, tiny_model, tokenizer_files):
    log_p = log_p_of(tokenizer_files, "calibration", 40)
    reference = log_p(tiny_model)
    for width in validation.result.widths:
        for unit in (0, 7, 11):
            changed = copy.deepcopy(tiny_model)
            layer = encoder_layers(changed)[unit // 6]
            weight = linears(layer)[unit % 6][1]
            before = weight.weight.detach().clone()
            quantize_whole(weight, width.bits, "rtn", 64)
            expected = float((reference.exp() * (reference - log_p(changed))).sum(-1).mean())
            assert width.kl[unit] == pytest.approx(expected, rel=2e-2, abs=1e-9)  # float32 forwards
            error = float((weight.weight.detach() - before).square().sum() / before.square().sum())
            predictor = next(p for p in width.predictors if p.name == "weight")
            assert predictor.values[unit] == pytest.approx(error, rel=1e-5)


def test_every_predictor_is_there_at_every_width_and_saved(validation):
    result = validation.result
    expected = [("predicted", "")]
    expected += [(name, scope) for scope in ("propagated", "isolated") for name in ("pwcca", "cka", "mse")]
    assert result.names == (*expected, ("weight", ""), ("depth", ""))
    assert [width.bits for width in result.widths] == [2, 4, 3]
    assert len(result.units) == 12
    saved = json.loads(validation.file.read_text())
    assert saved["units"][0] == "layer_0.attention.self.query"
    assert saved["widths"][0]["kl"] == list(result.widths[0].kl)
    assert saved["command"].startswith("bert-mpq validate --model")
    assert saved["mean_spearman"][0]["value"] == result.mean_spearman("predicted", "") > 0.95


def test_plans_are_evaluated_as_whole_models(validation, tiny_model, tokenizer_files):
    log_p = log_p_of(tokenizer_files, "evaluation", 16)
    reference = log_p(tiny_model)
    names = [name for layer in encoder_layers(tiny_model) for name, _ in linears(layer)]
    for plan in validation.result.plans:
        changed = copy.deepcopy(tiny_model)
        for unit, (name, bits) in enumerate(zip(names, plan.bits, strict=True)):
            linear = encoder_layers(changed)[unit // 6].get_submodule(name)
            if bits < 16:
                quantize_whole(linear, bits, "rtn", 64)
            else:
                linear.half().float()
        expected = float((reference.exp() * (reference - log_p(changed))).sum(-1).mean())
        assert plan.kl == pytest.approx(expected, rel=2e-2, abs=1e-9)
    assert any(16 in plan.bits for plan in validation.result.plans)


def test_learned_rounding_has_no_place_among_probes(config, tmp_path):
    config = config.replace(quantizer="learned", probe_bits=(2, 4), metrics=("cka",), output=str(tmp_path))
    found = validate.run(plan_validation(config), Silent(), Session())
    assert json.loads(found.file.read_text())["config"]["quantizer"] == "auto"
    assert [plan.kl > 0 for plan in found.result.plans if plan.score == "uniform"] == [True, True]


def test_plans_are_compared_only_within_the_same_size(validation):
    sizes = {plan.size for plan in validation.result.plans}
    assert len(sizes) == 3  # between uniform 2 and 3 bits, uniform 3, uniform 4
    for plan in validation.result.plans:
        assert plan.bits_per_weight <= plan.size + 1e-9
        assert plan.kl > 0
        assert len(plan.bits) == 12
    for size in sizes:
        scores = [plan.score for plan in validation.result.plans if plan.size == size]
        assert scores == ["kl", "predicted", "pwcca", "cka", "mse", "weight", "depth", "uniform"]


def test_twelve_units_are_measured_and_all_are_predicted(config, small_model, tmp_path):
    config = config.replace(model=str(small_model), metrics=("cka",), probe_bits=(2, 4), output=str(tmp_path))
    found = validate.run(plan_validation(config), Silent(), Session())
    result = found.result
    assert (len(result.units), result.measured) == (30, 12)
    for width in result.widths:
        measured = [unit for unit, kl in enumerate(width.kl) if math.isfinite(kl)]
        predicted = width.predictors[0]
        assert predicted.name == "predicted"
        assert all(map(math.isfinite, predicted.values))
        assert validate.spread(predicted.values, 12) == measured
        assert {predicted.values.index(end(predicted.values)) for end in (min, max)} <= set(measured)
        assert predicted.spearman > 0.9
        cka = next(p for p in width.predictors if p.name == "cka")
        assert [unit for unit, value in enumerate(cka.values) if math.isfinite(value)] == measured
    saved = json.loads(found.file.read_text())
    assert saved["widths"][0]["kl"].count(None) == 18
    assert {plan.score for plan in result.plans} == {"predicted", "depth", "uniform"}
    assert verdict(result)[-1] == "The others were predicted, not measured: --exact measures all."
    assert "over 12 of 30 Linear modules" in str(validation_views(result)[0])


def result(correlations, units=6, granularity="layer"):
    """A result with given rank correlations at one width."""
    predictors = tuple(
        Predictor(name=name, scope=scope, values=(0.0,) * units, spearman=value)
        for (name, scope), value in correlations.items()
    )
    return ValidationResult(
        config=RunConfig(granularity=granularity),
        setting=None,
        sample=None,
        evaluation=None,
        accuracy=0.9,
        units=tuple(map(str, range(units))),
        widths=(WidthValidation(bits=4, kl=(0.1,) * units, predictors=predictors),),
        plans=(),
        stages=(),
    )


def test_the_verdict_is_a_plain_sentence_for_each_score():
    lines = verdict(
        result(
            {
                ("cka", "propagated"): 0.94,
                ("svcca", "propagated"): 0.31,
                ("pwcca", "propagated"): 0.6,
                ("pwcca", "isolated"): None,
                ("depth", ""): 0.83,
            }
        )
    )
    assert lines == [
        "CKA, propagated predicts the damage here: +0.94.",
        "SVCCA, propagated does not: +0.31.",
        "PWCCA, propagated predicts it only roughly: +0.60, no better than depth alone (+0.83).",
        "PWCCA, isolated: no valid score for every unit and width.",
        "depth alone predicts the damage here: +0.83.",
        "With 6 units, 0.81 is reached by chance in 1 case of 20.",
        "So few units hardly tell scores apart: --granularity linear has more.",
    ]


def test_with_linear_modules_there_is_no_word_of_too_few_units():
    lines = verdict(result({("cka", "propagated"): 0.94}, units=36, granularity="linear"))
    assert lines[-1] == "With 36 units, 0.33 is reached by chance in 1 case of 20."


def test_candidates_take_at_most_the_size_of_a_uniform_plan():
    outline = Outline(
        linears=tuple(LinearShape(name=f"l{k}", layer=k, outputs=64, inputs=64) for k in range(3)),
        embedding_weights=0,
        embedding_scales=0,
        norm_weights=0,
        head_weights=0,
    )
    widths = [
        WidthValidation(
            bits=bits,
            kl=tuple(4.0**-bits * k for k in (3, 2, 1)),
            predictors=(Predictor(name="depth", scope="", values=(2.0, 1.0, 0.0), spearman=1.0),),
        )
        for bits in (4, 2, 3, 8)
    ]
    config = RunConfig()
    plans = candidate_plans(config, outline, widths)
    assert [score for _, score, _ in plans] == ["kl", "depth", "uniform"] * 3
    assert [size for size, _, _ in plans[::3]] == pytest.approx([2.75, 3.25, 4.25])
    for size, _, bits in plans:
        sizes = size_report(outline, outline.bits_by_name(bits), config.quantizer, config.group_size)
        assert sizes.bits_per_weight <= size
    assert plans[2][2] == (2, 2, 2)
    assert plans[3][2][0] >= plans[3][2][2]  # the first layer hurts most
