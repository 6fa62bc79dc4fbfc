"""What the screens say of quantizers and sizes."""

import io
import json

import pytest
from rich.console import Console

from bert_mpq.records.sizes import SizeReport
from bert_mpq.runs.make_plan import make_plan
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.views.evaluation import size_table
from bert_mpq.ui.views.panels import plan_panel


def shown(renderable) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({f"layer_{index}": 0.1 * (index + 1) for index in range(6)}))
    return RunConfig(model="embedded", sensitivities=str(path), eval_size=100, output=str(tmp_path))


def panel(config, phase="quantize"):
    text = shown(plan_panel(make_plan(config, phase), Console(file=io.StringIO(), width=100)))
    return [" ".join(line.split()) for line in text.replace("│", " ").splitlines()]


def test_the_plan_names_what_quantizes_each_width_and_what_gptq_looks_at(config):
    lines = panel(config.replace(bits=(16, 8, 4)))
    first = lines.index("Quantizer 8 bits: round to nearest, one scale per channel")
    assert lines[first + 1] == "4 bits: GPTQ, groups of 64"
    assert lines[first + 2] == "GPTQ on 128 reviews; TRAIN set, calibration half"


def test_the_plan_of_phase_1_names_what_quantizes_the_probe(config):
    lines = panel(config.replace(metrics=("cka",), calibration_size=100, group_size=None), "sensitivity")
    assert "Quantizer 4 bits: GPTQ, one scale per channel" in lines


def test_a_full_run_learns_the_rounding_of_the_result_but_not_that_of_the_probe(config):
    full = config.replace(sensitivities=None, metrics=("cka",), calibration_size=100, quantizer="learned")
    lines = panel(full.replace(bits=(2,)), "run")
    assert "Allocation kmeans, 1 group, bits 2" in lines
    assert lines[lines.index("Quantizer 4 bits: GPTQ, groups of 64") + 1] == (
        "2 bits: learned rounding, groups of 64"
    )
    assert "GPTQ on 128 and 512 reviews; TRAIN set, calibration half" in lines


def test_a_plan_without_gptq_speaks_of_no_calibration_reviews(config):
    lines = panel(config.replace(quantizer="rtn-mse", embeddings="fp16"))
    assert any(line.startswith("Quantizer 8 bits: round to nearest, clipped") for line in lines)
    assert "Embeddings rounded to float16" in lines
    assert not any("GPTQ" in line for line in lines)


@pytest.mark.parametrize(("target", "shown"), [("5x", True), ("0.5pp", True), ("4bits", False)])
def test_the_plan_of_a_whole_model_says_that_the_embeddings_are_chosen(config, target, shown):
    budget = config.replace(sensitivities=None, clustering="budget", target=target)
    lines = panel(budget.replace(calibration_size=100, metrics=("cka",)), "run")
    assert ("Embeddings fp32, int8, int4: chosen with the bits" in lines) is shown


def test_the_size_table_shows_every_part_the_whole_and_the_figure_of_papers():
    mebibyte = 8 * 1024**2
    sizes = SizeReport(
        linear_weights=25 * mebibyte // 8,  # 100 MB in FP32
        nominal_bits=20 * mebibyte,
        scale_bits=5 * mebibyte,
        embedding_weights=50 * mebibyte // 32,
        embedding_bits=25 * mebibyte,
        norm_bits=1 * mebibyte,
        head_bits=2 * mebibyte,
    )
    lines = [" ".join(line.split()) for line in shown(size_table(sizes)).splitlines()]
    assert [line for line in lines if "MB" in line] == [
        "Encoder weights 100.0 MB 25.0 MB 4.00x",
        "as the paper counts 100.0 MB 20.0 MB 5.00x",
        "Embeddings 50.0 MB 25.0 MB 2.00x",
        "LayerNorms and biases 1.0 MB 1.0 MB 1.00x",
        "Pooler and classifier 2.0 MB 2.0 MB 1.00x",
        "Whole model 153.0 MB 53.0 MB 2.89x",
        "over FP16 76.5 MB 53.0 MB 1.44x",
    ]
