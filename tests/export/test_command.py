"""``bert-mpq export`` as a script calls it, and the menu's offer."""

import importlib.metadata
import os
import signal

import pytest

from bert_mpq.export.formats import FORMATS
from bert_mpq.ui.commands.export import command_line
from bert_mpq.ui.main import main
from bert_mpq.ui.wizard import export_offer


@pytest.fixture(autouse=True)
def signals():
    """``main`` sets its own handler."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("reloads_here")
def test_the_command_prints_sizes_comparison_and_how_to_repeat_it(record, tmp_path, capsys):
    target = tmp_path / "packed"
    arguments = ["--evaluation", str(record), "--format", "compressed-tensors", "--to", str(target)]
    assert main(["export", *arguments]) == 0
    said = capsys.readouterr()
    shown = " ".join(said.out.split())
    assert "Reloaded weights identical" in shown
    assert "Largest difference 0 in the logits of 64 reviews" in shown
    size = (target / "model.safetensors").stat().st_size
    assert f"Weights file {size / 1024**2:.2f} MB" in shown  # as an evaluation and a plan count
    assert "1 MB = 1024^2 bytes." in shown
    assert f'AutoModelForSequenceClassification.from_pretrained("{target}")' in shown
    repeat = command_line(str(record), str(target), "compressed-tensors")
    assert repeat in said.out.splitlines()
    assert "Reload in a fresh process" in said.err
    assert "Reload in a fresh process" not in said.out
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(os.listdir(target))


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--evaluation", "gone.json"], 1, "error[E-NOFILE]: No run record at gone.json."),
        (["--evaluation", "scores.json"], 1, "error[E-JSON]: scores.json: it has no schema of a run record."),
        (["--to", "file"], 1, "error[E-EXPORT]: file is there already and is no folder."),
        (["--to", "file/inside"], 1, "error[E-READONLY]: Cannot write to"),
    ],
)
def test_mistakes_get_one_sentence(record, tmp_path, monkeypatch, capsys, flags, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.json").write_text("{}")
    (tmp_path / "file").write_text("x")
    before = sorted(os.listdir())
    assert main(["export", "--evaluation", str(record), "--to", "out", "--quiet", *flags]) == code
    assert said in capsys.readouterr().err
    assert sorted(os.listdir()) == before


def test_a_missing_extra_is_named(record, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.16.0")
    flags = ["--format", "compressed-tensors", "--to", str(tmp_path / "out")]
    assert main(["export", "--evaluation", str(record), "--quiet", *flags]) == 1
    said = capsys.readouterr().err
    assert "error[E-EXTRA]: compressed-tensors 0.16.0 is too old" in said
    assert "pip install 'bert-mpq[export]'" in said
    assert not (tmp_path / "out").exists()


def test_unknown_formats_are_refused_by_name(capsys):
    assert main(["export", "--evaluation", "x", "--to", "y", "--format", "gguf"]) == 2
    assert "nvalid choice: 'gguf'" in capsys.readouterr().err


def test_the_offer_fits_the_screen(evaluation_of):
    result = evaluation_of(bits=(6, 3))
    formats = {row.value: row for row in export_offer._formats(result)}
    assert set(formats) == set(FORMATS)
    assert formats["compressed-tensors"].disabled.startswith("3-bit codes")
    assert not formats["mpq"].disabled
    for row in formats.values():
        assert len(row.title) + len(row.disabled) + 3 <= 74
        assert len(row.description) <= 64


@pytest.fixture
def evaluation_of(evaluate):
    """Evaluate with other settings; return the result."""
    from bert_mpq.records.reading import read_evaluation

    return lambda **settings: read_evaluation(evaluate(quantizer="rtn", **settings)).result
