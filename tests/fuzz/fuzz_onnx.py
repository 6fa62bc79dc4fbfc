"""An ONNX folder at work, of which one file at a time is broken."""

import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from bert_mpq.export.checksums import NAME, write_checksums
from bert_mpq.export.onnx_classifier import MODEL, OnnxClassifier
from tests.fuzz import fuzz_models
from tests.fuzz.fuzz_mutations import broken_bytes

# Whether the checksums are those of the broken file: what a graph does to the library is not ours to mend.
FILES = {
    "graph of an ONNX folder": (MODEL, broken_bytes, False),
    "checksums of an ONNX folder": (NAME, broken_bytes, False),
    "configuration of an ONNX folder": ("config.json", fuzz_models._json, True),
    "tokenizer of an ONNX folder": ("tokenizer.json", fuzz_models._json, True),
    "tokenizer's settings of an ONNX folder": ("tokenizer_config.json", fuzz_models._json, True),
}


def _write_graph(path: Path) -> None:
    """Write a classifier: the mean of two numbers a token, the mask added so that it is used."""
    table = numpy_helper.from_array(np.ones((64, 2), np.float32), "table")
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceMean", ["kept", "one"], ["logits"], keepdims=0),
    ]
    axes = [numpy_helper.from_array(np.array([2]), "last"), numpy_helper.from_array(np.array([1]), "one")]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "classifier", inputs, outputs, [table, *axes])
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


@cache
def folder() -> Mapping[str, bytes]:
    """Return the files of a small ONNX folder."""
    own = fuzz_models.folder_of("safetensors")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / MODEL).parent.mkdir()
        _write_graph(path / MODEL)
        for file in ("config.json", "tokenizer.json"):
            (path / file).write_bytes(own[file])
        (path / "tokenizer_config.json").write_text('{"model_max_length": 8}')
        write_checksums(path)
        return {
            file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
        }


def read(file: str, summed: bool, broken: Path) -> object:
    """Classify a text with a folder whose other files are valid."""
    with tempfile.TemporaryDirectory(dir=broken.parent) as name:
        path = Path(name)
        for each, content in {**folder(), file: broken.read_bytes()}.items():
            (path / each).parent.mkdir(exist_ok=True)
            (path / each).write_bytes(content)
        if summed:
            (path / NAME).unlink()
            write_checksums(path)
        return OnnxClassifier(path, threads=1).logits(["a good film"])
