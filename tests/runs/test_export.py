"""From a run record to a folder, loaded again in a fresh process."""

import json
import os
import shutil
import signal
import subprocess
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

import bert_mpq
from bert_mpq.compute.reporting import Silent
from bert_mpq.export import reload
from bert_mpq.export.formats.mpq import Mpq
from bert_mpq.export.formats.onnx import Onnx
from bert_mpq.export.onnx_classifier import OnnxClassifier
from bert_mpq.records.reading import read_evaluation
from bert_mpq.runs import export as exporting
from bert_mpq.runs.evaluated_model import evaluated_model
from bert_mpq.runs.export import export_model
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError, UsageError


def test_mpq_reloads_bit_by_bit_with_its_card(record, tmp_path):
    export = export_model(record, tmp_path / "small")
    comparison, size = export.comparison, export.size
    assert (comparison.reviews, comparison.max_difference) == (64, 0.0)
    assert comparison.identical
    assert comparison.same_predictions == 64
    assert size.predicted == size.total - size.header
    assert size.total == (tmp_path / "small" / "model_mpq.safetensors").stat().st_size
    assert sorted(os.listdir(tmp_path)) == ["small"]
    written = json.loads(record.read_text())
    card = ModelCard.load(tmp_path / "small" / "README.md")
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert measured == {
        name: round(written["after"][name], 6) for name in ("accuracy", "precision", "recall", "f1")
    }
    assert "| layer_0 | 8 | 0.200000 |" in card.text
    assert "| layer_1 | 2 | 0.100000 |" in card.text
    assert f"{size.total:,} bytes on disk" in card.text
    assert 'bert_mpq.load("small")' in card.text
    assert str(record.parent.parent) not in card.content  # no folder of this machine
    assert bert_mpq.load(tmp_path / "small").config.num_hidden_layers == 2


@pytest.mark.usefixtures("reloads_here")
def test_compressed_tensors_reloads_bit_by_bit_with_the_embeddings_that_were_evaluated(evaluate, tmp_path):
    record = evaluate(bits=(8, 2), quantizer="rtn", embeddings="fp16")
    export = export_model(record, tmp_path / "packed", "compressed-tensors")
    comparison, size = export.comparison, export.size
    assert comparison.max_difference == 0.0
    assert comparison.identical
    assert size.predicted == size.total - size.header
    assert sorted(path.name for path in export.files)[:2] == ["README.md", "config.json"]
    assert "embeddings: rounded to float16;" in (tmp_path / "packed" / "README.md").read_text()


@pytest.fixture
def four_threads():
    """Four threads share the batches, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("reloads_here", "four_threads")
def test_compressed_tensors_reloads_bit_by_bit_where_threads_share_the_batches(evaluate, tmp_path):
    # Its lazy unpacking is not safe among threads: the first forward pass must have ended before the others.
    long = evaluate(bits=(8, 2), quantizer="rtn", max_length=64)  # 64 reviews make several batches
    export = export_model(long, tmp_path / "packed", "compressed-tensors")
    assert export.comparison.max_difference == 0.0
    assert export.comparison.identical


@pytest.mark.usefixtures("reloads_here")
@pytest.mark.parametrize("embeddings", ["fp16", "int8", "int4"])
def test_odd_widths_and_narrow_embeddings_go_into_the_own_layout(evaluate, tmp_path, embeddings):
    odd = evaluate(bits=(6, 3), quantizer="per-tensor", embeddings=embeddings)
    export = export_model(odd, tmp_path / "odd")
    assert export.comparison.max_difference == 0.0
    assert export.comparison.identical
    # The plan counts the bits of a zero point, the file has a byte for each of the 12.
    assert 0 <= export.size.total - export.size.header - export.size.predicted < 12
    whole = json.loads(odd.read_text())["sizes"]
    planned = sum(whole[f"{part}_bits"] for part in ("nominal", "scale", "embedding", "norm", "head"))
    assert export.size.predicted == -(-planned // 8)


@pytest.mark.usefixtures("reloads_here")
def test_dense_files_hold_the_values_that_codes_of_embeddings_stand_for(evaluate, tmp_path):
    record = evaluate(bits=(32, 32), quantizer="rtn", embeddings="int4")
    export_model(record, tmp_path / "dense", "dense-fp16")
    tensors = load_file(tmp_path / "dense" / "model.safetensors")
    evaluated = evaluated_model(read_evaluation(record), Session(), Silent()).model.state_dict()
    name = "bert.embeddings.word_embeddings.weight"
    assert len(evaluated[name][5].unique()) <= 16
    assert tensors[name].equal(evaluated[name].half())


def test_an_onnx_folder_gives_the_same_predictions_and_says_so_in_its_card(onnx_export):
    export, comparison, size = onnx_export, onnx_export.comparison, onnx_export.size
    assert 0 <= comparison.max_difference < 1e-5
    assert (comparison.reviews, comparison.same_predictions) == (64, 64)
    assert abs(size.total - size.header - size.predicted) < 0.01 * size.total
    names = {str(path.relative_to(export.folder)) for path in export.files}
    assert {"onnx/model.onnx", "config.json", "tokenizer.json", "README.md"} <= names
    card = (export.folder / "README.md").read_text()
    assert f"differ from the evaluated model's by at most {comparison.max_difference:g}, and 64" in card
    assert "Needs `onnxruntime>=1.30` and `tokenizers`." in card
    shown = {}
    exec(card.split("```python\n")[1].split("```")[0].replace("tiny-onnx", str(export.folder)), shown)
    expected = OnnxClassifier(export.folder).logits(["A wonderful film."])
    np.testing.assert_allclose(shown["logits"], expected, atol=1e-6)
    assert json.loads((export.folder / "tokenizer_config.json").read_text())["model_max_length"] == 16
    config = json.loads((export.folder / "config.json").read_text())
    assert config["transformers.js_config"] == {"dtype": "fp32"}


def test_an_onnx_file_that_gives_other_logits_is_not_kept(onnx_export, record, tmp_path, monkeypatch):
    def other(self, path, packed, model, facts):
        changed = onnx.load(onnx_export.folder / "onnx" / "model.onnx")
        (last,) = [node for node in changed.graph.node if "logits" in node.output]
        last.output[0] = "before"
        changed.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(2e-4), "more"))
        changed.graph.node.append(onnx.helper.make_node("Add", ["before", "more"], ["logits"]))
        onnx.save(changed, path)

    monkeypatch.setattr(Onnx, "write_weights", other)
    with pytest.raises(MpqError, match=r"differs from the evaluated one \(logits by up to 0.0002") as refused:
        export_model(record, tmp_path / "out", "onnx")
    assert refused.value.code == "E-EXPORT"
    assert os.listdir(tmp_path) == []


def test_the_fast_form_is_evaluated_before_it_is_kept(record, tmp_path):
    export = export_model(record, tmp_path / "fast", "onnx", activations="int8")
    exact, runtime = export.record.result.final, export.runtime
    assert runtime.accuracy.size == exact.size == 8
    assert 0 < export.comparison.max_difference < 0.1  # another model
    card = (tmp_path / "fast" / "README.md").read_text()
    assert f"accuracy {runtime.accuracy.accuracy:.4f}, precision" in card
    kept = json.loads((tmp_path / "fast" / "evaluation.json").read_text())
    assert kept["accuracy"]["correct"] == runtime.accuracy.correct
    labels = [each.op_type for each in onnx.load(tmp_path / "fast" / "onnx" / "model.onnx").graph.node]
    assert labels.count("MatMulInteger") == 12
    assert "MatMulNBits" not in labels


def test_only_onnx_has_int8_activations(record, tmp_path):
    with pytest.raises(UsageError, match="mpq has no int8 activations") as refused:
        export_model(record, tmp_path / "out", "mpq", activations="int8")
    assert refused.value.code == "E-EXPORT"


@pytest.mark.usefixtures("reloads_here")
def test_dense_files_need_nothing_and_are_close(record, tmp_path):
    export = export_model(record, tmp_path / "dense", "dense-fp16")
    assert 0 < export.comparison.max_difference < 0.01
    assert not export.comparison.identical
    assert export.size.predicted == export.size.total - export.size.header
    tensors = load_file(tmp_path / "dense" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    config = json.loads((tmp_path / "dense" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"


def test_a_format_that_there_is_not_is_refused_by_name(record, tmp_path):
    with pytest.raises(UsageError, match="There is no format gguf") as refused:
        export_model(record, tmp_path / "out", "gguf")
    assert refused.value.code == "E-EXPORT"


@pytest.fixture
def no_reload(monkeypatch):
    """Refuse to start a process: what is tested must fail before that."""

    def started(*_):
        raise AssertionError("a process was started")

    monkeypatch.setattr(exporting, "reloaded", started)


def changed(record, folder, **changes):
    """Return a copy of a run record with other values."""
    path = folder / "changed.json"
    path.write_text(json.dumps({**json.loads(record.read_text()), **changes}))
    return path


def test_other_weights_than_the_evaluated_ones_are_never_exported(record, tmp_path, no_reload):
    other = changed(record, tmp_path, weights_fingerprint="0" * 64)
    with pytest.raises(MpqError, match="cannot be made again here") as refused:
        export_model(other, tmp_path / "out")
    assert refused.value.code == "E-WEIGHTS"
    assert os.listdir(tmp_path) == ["changed.json"]


def test_a_record_from_before_fingerprints_is_refused(record, tmp_path, no_reload):
    with pytest.raises(MpqError, match="does not say which weights it measured") as refused:
        export_model(changed(record, tmp_path, weights_fingerprint=""), tmp_path / "out")
    assert refused.value.code == "E-WEIGHTS"


def test_a_model_that_has_changed_since_is_found_out(evaluate, tiny_folder, tmp_path, no_reload):
    model = tmp_path / "model"
    shutil.copytree(tiny_folder, model)
    evaluated = changed(evaluate(bits=(8, 2), quantizer="rtn"), tmp_path)
    content = json.loads(evaluated.read_text())
    content["setting"]["model_name"] = str(model)
    evaluated.write_text(json.dumps(content))
    tensors = load_file(model / "model.safetensors")
    tensors["classifier.bias"][0] += 1e-6
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MpqError) as refused:
        export_model(evaluated, tmp_path / "out")
    assert refused.value.code == "E-WEIGHTS"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bits": (6, 3), "quantizer": "rtn"}, "3-bit codes do not fill"),
        ({"bits": (8, 4), "quantizer": "per-tensor"}, "cannot load packed asymmetric weights"),
    ],
)
def test_what_compressed_tensors_cannot_hold_is_refused_first(evaluate, tmp_path, no_reload, settings, said):
    record = evaluate(**settings)
    with pytest.raises(MpqError, match=said) as refused:
        export_model(record, tmp_path / "out", "compressed-tensors")
    assert refused.value.code == "E-EXPORT"
    assert os.listdir(tmp_path) == []


def test_a_folder_with_something_in_it_is_left_alone(record, tmp_path, no_reload):
    (tmp_path / "precious").write_text("x")
    with pytest.raises(MpqError, match="is not empty") as refused:
        export_model(record, tmp_path)
    assert refused.value.code == "E-EXPORT"


def test_a_folder_that_does_not_load_again_is_not_kept(record, tmp_path, monkeypatch):
    def broken(self, folder, *rest):
        path = write(self, folder, *rest)
        (folder / "config.json").write_text("{")
        return path

    write = Mpq.write
    monkeypatch.setattr(Mpq, "write", broken)
    with pytest.raises(MpqError, match=r"cannot be loaded again: .*model_mpq") as refused:
        export_model(record, tmp_path / "out")
    assert refused.value.code == "E-EXPORT"
    assert os.listdir(tmp_path) == []


def test_a_folder_that_gives_other_weights_is_not_kept(record, tmp_path, monkeypatch):
    def wrong(*_):
        return reload.Reloaded(logits=np.zeros((64, 2)), fingerprint="0" * 64)

    monkeypatch.setattr(exporting, "reloaded", wrong)
    with pytest.raises(MpqError, match="differs from the evaluated one") as refused:
        export_model(record, tmp_path / "out")
    assert refused.value.code == "E-EXPORT"
    assert os.listdir(tmp_path) == []


def test_a_process_that_is_still_running_ends_with_its_owner(tmp_path, monkeypatch):
    class Interrupted(subprocess.Popen):
        """A process whose owner is interrupted as soon as it waits."""

        started: ClassVar[list] = []

        def communicate(self, *_, **__):
            self.started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        reload.reloaded(tmp_path, Mpq(), [], ["a review"], 8)
    assert [process.returncode for process in Interrupted.started] == [-signal.SIGKILL]
