"""Quantized models and evaluations that the tests of the export share."""

import json

import numpy as np
import pytest

from bert_mpq import RunConfig, quantize_and_evaluate
from bert_mpq.export import reload
from bert_mpq.export.packed import pack_model
from bert_mpq.runs import export as exporting
from tests.helpers.once import once
from tests.helpers.quantized import quantized_at


def packed_pair(model, widths, quantizer="rtn", group_size=None, embeddings="fp32"):
    """Return a quantized copy, and the same packed."""
    quantized = quantized_at(model, widths, quantizer, group_size, embeddings=embeddings)
    return quantized.model, pack_model(quantized.model, quantized.codes, quantized.bits, embeddings)


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory, tiny_folder):
    """Evaluate the tiny classifier on a few reviews; return the run record."""
    folder = tmp_path_factory.mktemp("evaluations")
    (folder / "scores.json").write_text(json.dumps({"layer_0": 0.2, "layer_1": 0.1}))

    def run(**settings):
        config = RunConfig(
            model=str(tiny_folder),
            output=str(folder),
            sensitivities=str(folder / "scores.json"),
            eval_size=8,
            device="cpu",
            **{"max_length": 16, **settings},
        )
        return quantize_and_evaluate(config).files[1]

    return run


@pytest.fixture(scope="session")
def record(evaluate):
    """The run record of a plan of 8 and 2 bits."""
    return evaluate(bits=(8, 2), quantizer="rtn")


@pytest.fixture(scope="session")
def onnx_export(tmp_path_factory, record):
    """That evaluation as an ONNX folder. Read only."""
    return once(
        tmp_path_factory, "onnx", lambda folder: exporting.export_model(record, folder / "tiny-onnx", "onnx")
    )


def reloaded_here(folder, file_format, names, texts, max_length):
    """Load an export again in this process: that a fresh one does it has tests of its own."""
    question = {"folder": str(folder), "format": file_format.name, "names": names, "texts": texts}
    said = reload.answer({**question, "max_length": max_length})
    return reload.Reloaded(logits=np.array(said["logits"]), fingerprint=said["fingerprint"])


def reload_here():
    """Make this process load all exports itself."""
    exporting.reloaded = reloaded_here


@pytest.fixture
def reloads_here(monkeypatch):
    """Load exports again in this process."""
    monkeypatch.setattr(exporting, "reloaded", reloaded_here)
