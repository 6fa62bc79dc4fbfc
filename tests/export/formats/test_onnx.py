"""A classifier as an ONNX file: ONNX Runtime gives the same logits, at every width, for several types."""

import copy
import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from bert_mpq.export.checksums import write_checksums
from bert_mpq.export.formats import FORMATS
from bert_mpq.export.onnx_classifier import OnnxClassifier
from bert_mpq.export.onnx_modules import Blocks, stored_bytes
from bert_mpq.export.packed import pack_model
from bert_mpq.quantization.rtn import quantize
from bert_mpq.settings.errors import MpqError
from tests.conftest import random_bert
from tests.helpers.families import classifier_of
from tests.helpers.once import once
from tests.helpers.quantized import quantized_at

ONNX = FORMATS["onnx"]
LENGTHS = (12, 7, 12, 3, 9, 7, 1)
CASES = {  # between them: every width, every kind of table, scales for groups and for channels
    "bert": ((4, 3), None, "int8"),
    "roberta": ((8, 16), None, "fp16"),
    "distilbert": ((6, 32), None, "fp32"),
    "electra": ((3, 8), None, "int4"),
    "mpnet": ((2, 16), None, "int8"),
}


def exported(folder, model, tokenizer, widths, group_size, embeddings, quantizer="rtn-mse"):
    """Write a quantized copy, scales of both signs, as a folder; return the copy and the packed model."""
    quantized = quantized_at(model, widths, quantizer, group_size, embeddings=embeddings)
    packed = pack_model(quantized.model, quantized.codes, quantized.bits, embeddings)
    folder.mkdir()
    ONNX.write(folder, packed, quantized.model, tokenizer, {})
    return quantized.model, packed


@pytest.mark.parametrize("kind", CASES)
def test_onnx_runtime_gives_the_logits_of_the_evaluated_model(kind, tmp_path, classifier):
    model, _ = exported(tmp_path / "out", classifier_of(kind, layers=2), classifier.tokenizer, *CASES[kind])
    rng = np.random.default_rng(0)
    running = OnnxClassifier(tmp_path / "out")
    for batch, length in ((1, 1), (1, 9), (3, 17)):  # no size is that of the export's example
        ids = rng.integers(10, model.config.vocab_size, (batch, length))
        mask = np.ones_like(ids)
        if batch > 1:
            mask[1, length // 2 :] = 0
            ids[1, length // 2 :] = model.config.pad_token_id
        with torch.inference_mode():
            expected = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
        np.testing.assert_allclose(running.run(ids, mask), expected, rtol=0, atol=5e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, classifier):
    """The embedded classifier's first layers, at 3 bits in groups of 64, and 8 bits per channel."""

    def make(folder):
        model = copy.deepcopy(classifier.model)
        model.bert.encoder.layer = model.bert.encoder.layer[:2]
        model.config.num_hidden_layers = 2
        path = folder / "out"
        quantized, packed = exported(path, model, classifier.tokenizer, (3, 8), 64, "int8", "auto")
        return path, quantized, packed

    return once(tmp_path_factory, "onnx-embedded", make)


def test_real_reviews_have_the_same_logits_whatever_shares_their_batch(folder, classifier, reviews):
    path, model, _ = folder
    texts = reviews.texts[:12]
    found = OnnxClassifier(path).logits(texts, 64)
    for text, logits in zip(texts, found, strict=True):
        inputs = classifier.tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.inference_mode():
            np.testing.assert_allclose(model(**inputs).logits[0], logits, rtol=0, atol=2e-5)


def test_the_file_holds_codes_not_weights(folder):
    path, _, packed = folder
    graph = onnx.load(path / "onnx" / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MatMulNBits") == 12
    assert kinds.count("GatherBlockQuantized") == 3
    bits = {
        attribute.i
        for node in graph.node
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "bits"
    }
    assert bits == {4, 8}  # 3 bits take 4
    size = (path / "onnx" / "model.onnx").stat().st_size
    assert abs(size - stored_bytes(packed)) < 0.01 * size
    assert not any(node.metadata_props for node in graph.node)  # no folders of this machine
    assert {"config.json", "tokenizer.json"} <= {file.name for file in path.iterdir()}


def test_a_tokenizer_that_panics_is_refused_with_a_sentence(folder, tmp_path):
    """The tokenizers library stops with what Python does not take for an exception."""
    broken = tmp_path / "broken"
    shutil.copytree(folder[0], broken)
    path = broken / "tokenizer.json"
    content = json.loads(path.read_text())
    content["post_processor"]["special_tokens"] = {}  # its template names some
    path.write_text(json.dumps(content))
    write_checksums(broken)
    with pytest.raises(MpqError, match=r"^tokenizer\.json is no valid model file: ") as refused:
        OnnxClassifier(broken).logits(["A film."])
    assert refused.value.code == "E-MODEL"


def test_it_runs_without_torch_and_transformers(folder):
    code = (
        "import sys; from pathlib import Path; from bert_mpq.export.onnx_classifier import OnnxClassifier\n"
        "OnnxClassifier(Path(sys.argv[1])).logits(['A film.'])\n"
        "print(sorted({'torch', 'transformers', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code, str(folder[0])], capture_output=True, text=True)
    assert said.stdout == "[]\n", said.stderr


@pytest.mark.parametrize(("columns", "group_size", "size"), [(384, 64, 64), (384, None, 128), (24, None, 16)])
def test_blocks_hold_the_weight(columns, group_size, size):
    weight = quantize(torch.randn(5, columns), 3, group_size)
    blocks = Blocks(weight, (2, 4, 8))
    assert (blocks.bits, blocks.size) == (4, size)
    low, high = blocks.codes & 15, blocks.codes >> 4
    codes = torch.stack([low, high], -1).flatten(2).float() - 8
    dense = (codes * blocks.scales[:, :, None]).flatten(1)[:, :columns]
    assert torch.equal(dense, weight.dequantize())


def test_beyond_two_gigabytes_the_weights_lie_in_a_second_file(tmp_path, classifier, monkeypatch):
    from torch.onnx._internal.exporter import _onnx_program

    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 1 << 16)
    exported(tmp_path / "out", random_bert(1), classifier.tokenizer, (4,), None, "fp32")
    files = {file.name: file.stat().st_size for file in (tmp_path / "out" / "onnx").iterdir()}
    assert files["model.onnx.data"] > files["model.onnx"]
    assert np.isfinite(OnnxClassifier(tmp_path / "out").logits(["A film."])).all()


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("onnx/model.onnx", None, "E-NOFILE", "No ONNX model at"),
        ("onnx/model.onnx", b"\x08\x0a", "E-MODEL", "onnx/model.onnx is no valid model file"),
        ("tokenizer.json", None, "E-MODEL", "tokenizer.json is missing or damaged"),
        ("SHA256SUMS", None, "E-NOFILE", "No SHA256SUMS in"),
        ("config.json", b"{}", "E-MODEL", "config.json is missing or damaged"),
        ("tokenizer.json", b"{}", "E-MODEL", "tokenizer.json is no valid model file"),
        ("tokenizer_config.json", b'{"model_max_length": 1e30}', "E-MODEL", "model_max_length is no number"),
        ("config.json", b"[]", "E-MODEL", "config.json: it is no JSON object"),
        ("config.json", b'{"model_type": "gpt2"}', "E-MODEL", "it is a decoder"),
    ],
)
def test_damage_is_said_in_one_sentence(folder, tmp_path, name, content, code, said):
    shutil.copytree(folder[0], tmp_path / "broken")
    file = tmp_path / "broken" / name
    file.unlink() if content is None else file.write_bytes(content)
    if "damaged" not in said and name != "SHA256SUMS":  # as somebody else may have written it
        write_checksums(tmp_path / "broken")
    with pytest.raises(MpqError, match=said) as refused:
        OnnxClassifier(tmp_path / "broken").logits(["A film."])
    assert refused.value.code == code
