"""``bert-mpq plan`` on made-up scores: what is printed, and the command that carries it out."""

import dataclasses
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.width_scores import (
    MetricTable,
    TableLosses,
    WidthScores,
    read_width_scores,
    write_width_scores,
)
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.main import main

GOLDEN = Path(__file__).parent.parent / "golden" / "plan.txt"
# Predicted KL, in the shape of the embedded classifier: fragile first layers, noise in layer_3 at 3 bits.
KL = (
    (0.0316, 0.92, 0.148, 0.000131),
    (0.0287, 0.61, 0.121, 0.000119),
    (0.0333, 0.48, 0.131, 0.000128),
    (0.0277, 0.33, 0.021, 0.000097),
    (0.0093, 0.12, 0.034, 0.000031),
    (0.0012, 0.02, 0.004, 0.000005),
)
SHAPES = (("query", 384, 384), ("key", 384, 384), ("value", 384, 384), ("output", 384, 384))
SHAPES += (("intermediate", 1536, 384), ("dense", 384, 1536))
SCORES = WidthScores(
    config=RunConfig(probe_bits=(4, 2, 3, 8)),
    model_name="embedded",
    split="TRAIN set, calibration half",
    reviews=256,
    outline=Outline(
        linears=tuple(
            LinearShape(name=f"{layer}.{name}", layer=layer, outputs=out, inputs=inputs)
            for layer in range(6)
            for name, out, inputs in SHAPES
        ),
        embedding_weights=11_918_592,
        embedding_scales=186_228,
        norm_weights=30_000,
        head_weights=148_610,
    ),
    widths=(4, 2, 3, 8),
    tables=(MetricTable(metric="predicted", values=KL),),
)


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """Run ``bert-mpq plan`` with these scores; return the exit code, stdout and stderr."""
    write_width_scores(tmp_path, SCORES, "20250113_142530")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words):
        code = main(["plan", "--sensitivities", "widths_20250113_142530.json", *words])
        return code, *capsys.readouterr()

    return call


def test_the_screen_of_a_plan(plan, monkeypatch):
    code, out, _ = plan("--target", "4.3bits", "--pin", "layer_5=8", "--max-widths", "3")
    assert code == 0
    shown = "\n".join(line.rstrip() for line in out.splitlines()) + "\n"
    assert shown == GOLDEN.read_text()
    assert max(map(len, shown.split("Plan again")[0].splitlines())) <= 80


def test_a_plan_for_the_whole_model_chooses_the_embeddings_and_says_what_it_rests_on(plan, tmp_path):
    losses = TableLosses(reviews=256, int8=0.000009, int4=0.0025)
    write_width_scores(tmp_path, dataclasses.replace(SCORES, embeddings=losses), "20250113_142530")
    (file,) = tmp_path.glob("widths_20250113_142530_*.json")
    code, out, _ = plan("--target", "5x", "--sensitivities", str(file))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "embeddings int4 6.04 MB 0.002500" in lines
    assert max(map(len, out.split("Plan again")[0].splitlines())) <= 80
    said = " ".join(lines)
    assert "Embeddings: 4-bit codes in groups of 64, chosen with the bits." in said
    assert "on 256 of these reviews" in said
    whole = float(said.split("whole model ")[1].split()[0])
    assert whole <= 86.65 / 5
    points = [
        line.split() for line in lines[lines.index("Other sizes: the best plan for each") :] if "MB" in line
    ]
    assert {"fp32", "int8", "int4"} == {cells[5] for cells in points}
    assert plan("--target", "5x", "--embeddings", "int8", "--sensitivities", str(file))[0] == 0
    fixed = plan("--target", "5x", "--embeddings", "fp32", "--sensitivities", str(file))[2]
    assert "or --embeddings int8" in fixed


def test_a_plan_needs_no_model(plan, tmp_path):
    """The file says the shape of the model: nothing is loaded, nothing is written."""
    before = set(tmp_path.rglob("*"))
    assert plan("--target", "1.7x", "--model", "someone/not-here")[0] == 0
    assert set(tmp_path.rglob("*")) == before


def test_the_commands_under_a_plan_repeat_it_and_carry_it_out(plan):
    out = plan("--target", "4.3bits", "--pin", "layer_5=8", "--embeddings", "fp16")[1]
    again, apply = (shlex.split(line) for line in out.splitlines()[-2:])
    assert again[:4] == ["bert-mpq", "plan", "--model", "embedded"]  # what the scores are of
    config = RunConfig(
        model="embedded",
        sensitivities="widths_20250113_142530.json",
        clustering="budget",
        target="4.3bits",
        pin=("layer_5=8",),
        embeddings="fp16",
        refine=0,
    )
    assert shlex.join(apply) == flags.command_line("quantize", config)
    assert plan(*again[6:])[1] == out


def test_what_no_flag_says_is_as_the_scores_were_measured(tmp_path, monkeypatch, capsys):
    measured = RunConfig(
        model="/models/mine",
        data="reviews.csv",
        quantizer="rtn",
        max_length=64,
        seed=7,
        probe_bits=(4, 2, 3, 8),
    )
    write_width_scores(tmp_path, replace(SCORES, config=measured, model_name="/models/mine"), "x")
    monkeypatch.chdir(tmp_path)
    assert (
        main(["plan", "--sensitivities", "widths_x.json", "--target", "4.3bits", "--max-length", "32"]) == 0
    )
    out = capsys.readouterr().out
    assert "another quantizer" not in out
    apply = shlex.split(out.splitlines()[-1])
    said = dict(zip(apply[2:-1:2], apply[3::2], strict=False))
    assert said == {
        "--model": "/models/mine",
        "--data": "reviews.csv",
        "--sensitivities": "widths_x.json",
        "--clustering": "budget",
        "--target": "4.3bits",
        "--refine": "0",
        "--quantizer": "rtn",
        "--max-length": "32",  # a flag comes on top
        "--seed": "7",
    }


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "error[E-BUDGET]: --clustering budget needs --target."),
        (["--target", "4x"], 1, "error[E-BUDGET]: 4x cannot be reached: the smallest plan takes 2.25 bits"),
        (["--target", "4"], 2, 'error[E-BUDGET]: "4" is no target.'),
        (["--target", "4bits", "--pin", "layer_6=8"], 1, "--pin layer_6 matches nothing."),
        (["--target", "4bits", "--score", "cka"], 1, "error[E-SCORE]: The score cka was not measured"),
        (["--target", "4bits", "--sensitivities", "gone.json"], 1, "error[E-NOFILE]"),
    ],
)
def test_mistakes_get_one_sentence(plan, words, code, said):
    result, _, err = plan(*words)
    assert (result, said in err) == (code, True), err


def test_the_scores_on_disk_are_the_ones_planned_from(tmp_path):
    assert read_width_scores(write_width_scores(tmp_path, SCORES, "x")) == SCORES


def test_without_a_file_the_scores_are_measured_first(tmp_path, model_folder, capsys):
    words = [
        "--model",
        str(model_folder),
        "--max-length",
        "12",
        "--quantizer",
        "rtn",
        "--output",
        str(tmp_path),
    ]
    sizes = ["--calibration-size", "8", "--target", "6bits", "--score", "cka", "--yes", "--quiet"]
    assert main(["plan", *words, *sizes]) == 0
    out = capsys.readouterr().out
    assert "Plan for 6bits" in out
    assert "Loss: 1 - CKA" in out
    (file,) = (tmp_path / "Sensitivities").glob("widths_*.json")
    assert read_width_scores(file).metrics == ("predicted", "kl", "cka")
    assert f"--sensitivities {file}" in out.splitlines()[-1]
