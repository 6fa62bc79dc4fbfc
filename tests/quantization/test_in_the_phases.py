"""Quantizers in Phase 1 and Phase 2: which reviews GPTQ sees, and what is done where there are none."""

import dataclasses
import json

import pytest
from datasets import Dataset, DatasetDict

from bert_mpq import RunConfig, analyse, quantize_and_evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization import layerwise
from bert_mpq.quantization.rounding import RoundingRecipe
from bert_mpq.settings.quantizers import QUANTIZERS
from bert_mpq.sources.sampling import sample


class Notes(Silent):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture
def config(model_folder, imdb, tmp_path):
    """The tiny classifier on 60 real reviews in a CSV file, half of them held out by their texts."""
    data = tmp_path / "reviews.csv"
    halves = [sample(imdb[split], 30, "stratified", 0) for split in ("calibration", "evaluation")]
    rows = {"text": halves[0].texts + halves[1].texts, "label": halves[0].labels + halves[1].labels}
    Dataset.from_dict(rows).to_csv(str(data))
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))
    return RunConfig(
        model=str(model_folder),
        data=str(data),
        output=str(tmp_path),
        sensitivities=str(scores),
        metrics=("cka",),
        max_length=16,
        bits=(8, 4),
    )


def test_gptq_sees_calibration_reviews_only_and_both_phases_the_same(config):
    first, second = analyse(config).result, quantize_and_evaluate(config).result
    assert first.gptq_sample == second.gptq_sample
    assert second.gptq_sample.split == "calibration half of reviews.csv"
    assert second.sample.split == "held-out half of reviews.csv"
    assert (second.gptq_sample.size, second.sample.size) == (30, 30)  # all there are, fewer than 128
    assert [entry.algorithm for entry in second.quantizers] == ["rtn", "gptq"]


def test_the_number_of_reviews_can_be_chosen(config):
    result = quantize_and_evaluate(config.replace(gptq_reviews=7))
    assert result.result.gptq_sample.size == 7
    assert "gptq_reviews: 7" in result.files[0].read_text().splitlines()


def test_learned_rounding_sees_more_reviews_than_the_probes(config, monkeypatch):
    """Of the thirty that there are, five in place of 128, and twelve in place of 512."""
    for name, reviews in (("gptq", 5), ("learned", 12)):
        fewer = dataclasses.replace(QUANTIZERS[name], reviews=reviews)
        monkeypatch.setitem(QUANTIZERS, name, fewer)
    monkeypatch.setattr(layerwise, "RoundingRecipe", lambda seed: RoundingRecipe(steps=2, seed=seed))
    learned = config.replace(quantizer="learned")
    assert analyse(learned).result.gptq_sample.size == 5
    assert quantize_and_evaluate(learned).result.gptq_sample.size == 12


@pytest.mark.parametrize("changes", [{"bits": (8, 8)}, {"quantizer": "rtn-mse"}, {"bits": (32, 16)}])
def test_without_gptq_no_calibration_reviews_are_read(config, changes):
    result = quantize_and_evaluate(config.replace(**changes)).result
    assert result.gptq_sample is None
    assert all(entry.algorithm != "gptq" for entry in result.quantizers)


@pytest.mark.parametrize("quantizer", ["auto", "gptq"])
def test_without_calibration_reviews_weights_are_rounded_and_the_user_is_told(
    config, reviews, tmp_path, quantizer
):
    folder = tmp_path / "only-test"
    rows = {"text": list(reviews.texts[:20]), "label": list(reviews.labels[:20])}
    DatasetDict({"test": Dataset.from_dict(rows)}).save_to_disk(str(folder))
    notes = Notes()
    result = quantize_and_evaluate(config.replace(data=str(folder), quantizer=quantizer), notes)
    assert any(text.startswith("No calibration reviews for GPTQ: ") for text in notes.texts)
    assert "quantizer_4bit: rtn-mse, group size 64" in result.files[0].read_text().splitlines()
    assert result.result.gptq_sample is None


@pytest.mark.parametrize(("embeddings", "bits"), [("fp16", 16), ("int8", 8), ("int4", 4)])
def test_the_precision_of_the_embeddings_shows_in_report_and_record(config, embeddings, bits):
    done = quantize_and_evaluate(config.replace(embeddings=embeddings))
    assert f"embeddings: {embeddings}" in done.files[0].read_text().splitlines()
    sizes = json.loads(done.files[1].read_text())["sizes"]
    scales = sizes["embedding_bits"] - bits * sizes["embedding_weights"]
    assert scales == (0 if bits == 16 else 16 * (30_522 + 64 + 2))  # one a row: the model has 16 features
