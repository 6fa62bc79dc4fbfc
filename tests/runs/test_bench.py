"""Speed and memory of exported folders, each in a process of its own."""

import json
import signal

import pytest

from bert_mpq.runs import bench as benching
from bert_mpq.ui.commands.bench import BENCH
from bert_mpq.ui.main import main
from tests.helpers.json_schema import problems


@pytest.fixture(autouse=True)
def signals():
    """``main`` sets its own handler."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_every_form_is_measured_beside_fp32(onnx_export, tiny_folder, monkeypatch, capsys):
    monkeypatch.setattr(benching, "LATENCIES", ((1, 8), (1, 999)))
    settings = ["--throughput", "4x12", "--threads", "1", "--rounds", "3", "--json", "--quiet"]
    assert main(["bench", str(onnx_export.folder), "--model", str(tiny_folder), *settings]) == 0
    found = json.loads(capsys.readouterr().out)
    assert problems(found, BENCH.schema) == []
    names = [model["name"] for model in found["models"]]
    assert names == ["FP32, PyTorch", "FP32, ONNX Runtime", str(onnx_export.folder)]
    assert (found["threads"], found["rounds"]) == (1, 3)
    for model in found["models"]:
        assert 0 < model["loaded_bytes"] < model["ran_bytes"]
        assert model["library_bytes"] > model["loaded_bytes"] / 10
        for timing in model["timings"]:
            assert 0 < timing["low"] <= timing["median"] <= timing["high"]
    shapes = [[timing["shape"] for timing in model["timings"]] for model in found["models"]]
    assert shapes[2] == [[1, 8], [1, 16], [4, 12]]  # no longer than it was evaluated with
    assert found["models"][2]["file_bytes"] == onnx_export.size.total


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 1, "error[E-EXPORT]: nowhere holds no exported model."),
        (["nowhere", "--throughput", "16"], 2, "error[E-CONFIG]: A batch is measured as 16x200"),
    ],
)
def test_mistakes_get_one_sentence(capsys, arguments, code, said):
    assert main(["bench", *arguments]) == code
    assert said in capsys.readouterr().err


def test_a_folder_of_another_model_is_refused(onnx_export, capsys):
    assert main(["bench", str(onnx_export.folder), "--model", "embedded", "--quiet"]) == 1
    assert "error[E-EXPORT]: tiny-onnx was not made from embedded" in capsys.readouterr().err
