"""Labels and probabilities from every kind of model, as a script asks for them."""

import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from bert_mpq.compute.reporting import Silent
from bert_mpq.export.formats import FORMATS
from bert_mpq.records.reading import read_evaluation
from bert_mpq.runs.classify import classify, format_of, text_classifier
from bert_mpq.runs.evaluated_model import evaluated_model
from bert_mpq.runs.session import Session
from bert_mpq.ui.main import main


@pytest.fixture(autouse=True)
def signals():
    """``main`` sets its own handler."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


TEXTS = ("A wonderful film.", "I want my two hours back. Never again, and I mean it.", "Fine.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, record, onnx_export):
    """The same evaluation in three formats."""
    folders = [onnx_export.folder]
    evaluated = evaluated_model(read_evaluation(record), Session(), Silent())
    for name in ("mpq", "compressed-tensors"):
        folders.append(tmp_path_factory.mktemp("formats") / name)
        folders[-1].mkdir()
        FORMATS[name].write(folders[-1], evaluated.packed, evaluated.model, evaluated.tokenizer, {})
    return folders


def test_every_format_of_one_model_gives_one_answer(folders):
    assert [format_of(folder) for folder in folders] == ["onnx", "mpq", "compressed-tensors"]
    found = [classify(text_classifier(str(folder)), TEXTS) for folder in folders]
    for answers in found[1:]:
        for answer, expected in zip(answers, found[0], strict=True):
            assert answer.label == expected.label
            np.testing.assert_allclose(answer.logits, expected.logits, atol=1e-5)
    negative, positive = found[0][0].logits
    assert found[0][0].positive == pytest.approx(np.exp(positive) / (np.exp(negative) + np.exp(positive)))


def test_a_plain_checkpoint_is_classified_too(tiny_folder, capsys):
    assert format_of(tiny_folder) is None
    assert main(["classify", "--model", str(tiny_folder), *TEXTS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] in ("negative", "positive") for line in lines] == [True] * 3
    assert lines[0].endswith("A wonderful film.")


def test_lines_on_stdin_become_json(onnx_export, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("A wonderful film.\n\nFine.\n"))
    assert main(["classify", "--model", str(onnx_export.folder), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["text"] for answer in answers] == ["A wonderful film.", "Fine."]
    assert all(0.5 <= answer["found"]["probability"] <= 1 for answer in answers)


def test_a_data_file_has_an_accuracy(onnx_export, tmp_path, capsys, reviews):
    rows = [{"text": text, "label": label} for text, label in zip(reviews.texts, reviews.labels, strict=True)]
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:80]))
    arguments = ["--model", str(onnx_export.folder), "--data", str(tmp_path / "reviews.jsonl"), "--json"]
    assert main(["classify", *arguments]) == 0
    said = capsys.readouterr()
    content = json.loads(said.out)
    answers = content["answers"]
    labels = {row["text"]: ("negative", "positive")[row["label"]] for row in rows}
    right = sum(labels[answer["text"]] == answer["found"]["label"] for answer in answers)
    assert content["accuracy"] == right / len(answers)
    assert main(["classify", *arguments[:-1]]) == 0
    said = capsys.readouterr()
    assert f"accuracy {right / len(answers):.4f}: {right} of {len(answers)} held-out reviews" in said.err


def test_texts_and_data_are_not_given_together(onnx_export, capsys):
    assert main(["classify", "--model", str(onnx_export.folder), "--data", "imdb", "A film."]) == 2
    assert "error[E-CONFIG]: Both texts and --data are given." in capsys.readouterr().err


def test_an_onnx_folder_is_classified_without_torch(onnx_export):
    code = (
        "import sys; from bert_mpq.ui.main import main\n"
        "main(['classify', '--model', sys.argv[1], 'A film.'])\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, str(onnx_export.folder)]
    said = subprocess.run(arguments, capture_output=True, text=True)
    assert said.stdout.endswith("[]\n"), said.stderr
