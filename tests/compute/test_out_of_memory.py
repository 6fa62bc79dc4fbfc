"""Memory that runs out in the middle of a phase: the run goes on, and its files say what was really used."""

import json

import pytest
import torch

from bert_mpq import MpqError, RunConfig, run
from bert_mpq.compute.evaluate import Logits
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier

SMALL = {
    "calibration_size": 240,
    "eval_size": 24,
    "max_length": 16,
    "metrics": ("cka",),
    "bits": (8, 4),
    "quantizer": "rtn",
}
FEW = {**SMALL, "calibration_size": 80}
ERRORS = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]


class Notes(Silent):
    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


def shrink(monkeypatch, limit, error):
    """Let every forward pass of both phases fail above ``limit`` tokens."""
    for module in (ProbedClassifier, Logits):

        def forward(self, input_ids, attention_mask, whole=module.forward):
            if input_ids.numel() > limit:
                raise error
            return whole(self, input_ids, attention_mask)

        monkeypatch.setattr(module, "forward", forward)


@pytest.fixture
def config(model_folder, tmp_path):
    return RunConfig(**SMALL, model=str(model_folder), output=str(tmp_path))


@pytest.fixture(scope="module")
def roomy(tiny_folder, tmp_path_factory):
    return run(RunConfig(**FEW, model=str(tiny_folder), output=str(tmp_path_factory.mktemp("roomy"))))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_both_phases_go_on_with_smaller_batches(roomy, config, monkeypatch, error):
    shrink(monkeypatch, 64, error)
    notes = Notes()
    tight = run(config.replace(**FEW), notes)
    assert any(note.startswith("Out of memory: going on with ") for note in notes.texts)
    for before, after in zip(
        roomy.analysis.result.scores[0].values, tight.analysis.result.scores[0].values, strict=True
    ):
        assert after == pytest.approx(before, rel=1e-3)  # other batches, other FP32 rounding
    assert tight.quantization.result.after.correct == roomy.quantization.result.after.correct
    assert tight.quantization.result.agreement == roomy.quantization.result.agreement


def test_the_files_name_the_batches_that_were_really_used(config, monkeypatch):
    shrink(monkeypatch, 64, MemoryError())
    result = run(config.replace(batch_tokens=1200))
    analysis, quantization = result.analysis.result, result.quantization.result
    # Phase 1 has 1 + 2 streams, so 400 tokens: 400 (384 in the batch) -> 192 -> 96 -> 48; Phase 2 has one.
    assert (analysis.sample.largest_batch, analysis.setting.batch_tokens) == (3, 144)
    assert (quantization.sample.largest_batch, quantization.setting.batch_tokens) == (3, 48)
    for path in (*result.analysis.files, *result.quantization.files):
        if path.suffix == ".txt":
            assert "batch_size: 3\n" in path.read_text()
    record = json.loads(result.quantization.files[1].read_text())
    assert (record["sample"]["largest_batch"], record["setting"]["batch_tokens"]) == (3, 48)


def test_a_review_that_does_not_fit_ends_the_run_without_files(config, monkeypatch, tmp_path):
    shrink(monkeypatch, 15, MemoryError())
    with pytest.raises(MpqError) as refused:
        run(config)
    assert refused.value.code == "E-MEMORY"
    assert not list(tmp_path.glob("Sensitivities/*"))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_model_that_does_not_fit_is_one_sentence(config, monkeypatch, error):
    def full(self, *_):
        raise error

    monkeypatch.setattr(ProbedClassifier, "__init__", full)
    with pytest.raises(MpqError, match="do not fit") as refused:
        run(config)
    assert refused.value.code == "E-MEMORY"


def test_any_other_error_is_not_taken_for_one_of_memory(config, monkeypatch):
    def broken(self, *_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(ProbedClassifier, "__init__", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run(config)
