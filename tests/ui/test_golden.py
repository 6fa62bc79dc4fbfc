"""Every table and panel as text, from the records of real runs: 60, 80 and 120 columns, and plain ASCII."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bert_mpq.records.reading import read_analysis, read_evaluation
from bert_mpq.runs.compare import Comparison, compare
from bert_mpq.runs.doctor import Check
from bert_mpq.runs.dry_run import DryRun
from bert_mpq.runs.make_plan import make_plan
from bert_mpq.runs.outcome import Outcome
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.views.comparison import comparison_views
from bert_mpq.ui.views.doctor import doctor_views
from bert_mpq.ui.views.evaluation import evaluation_views
from bert_mpq.ui.views.outcome import dry_run_views
from bert_mpq.ui.views.panels import files_panel, plan_panel, print_error, print_repeat
from bert_mpq.ui.views.sensitivity import heat_map, sensitivity_views
from bert_mpq.ui.wizard.menu import header, setting_line
from tests.helpers.golden import RUNS, check, console, shown, text_of

WIDTHS = [40, 60, 80, 120]


@pytest.fixture(scope="module")
def sensitivity():
    return read_analysis(next(RUNS.glob("run_*.json"))).result


@pytest.fixture(scope="module")
def evaluation():
    return read_evaluation(min(RUNS.glob("eval_*.json"))).result


def fits(text, width):
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    return text


@pytest.mark.parametrize("width", WIDTHS)
def test_sensitivities(sensitivity, width):
    text = shown(lambda console: sensitivity_views(sensitivity, console), width)
    check(f"sensitivity_{width}", fits(text, width))


def test_sensitivities_on_an_ascii_console(sensitivity):
    text = shown(lambda console: sensitivity_views(sensitivity, console), encoding="ascii")
    check("sensitivity_ascii", text)
    assert text.isascii()


def test_a_narrow_screen_leaves_out_columns_and_never_digits(sensitivity, evaluation):
    def figures(width):
        views = [*evaluation_views(evaluation), *sensitivity_views(sensitivity, console(width))]
        return set(re.findall(r"[-+]?\d[\d.,]*\d|\d", shown(views, width)))

    for width in range(30, 120, 3):
        assert figures(width) <= figures(120), f"cut at {width} columns"


@pytest.mark.parametrize("width", WIDTHS)
def test_evaluation(evaluation, width):
    check(f"evaluation_{width}", fits(shown(evaluation_views(evaluation), width), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_comparison(tmp_path, width):
    shutil.copytree(RUNS, tmp_path / "Evaluation", ignore=shutil.ignore_patterns("run_*"))
    comparison = compare(tmp_path)
    text = shown(lambda console: comparison_views(comparison, console), width)
    check(f"comparison_{width}", fits(text, width))


def test_the_comparison_names_the_embeddings_where_they_are_not_all_fp32(tmp_path):
    shutil.copytree(RUNS, tmp_path / "Evaluation", ignore=shutil.ignore_patterns("run_*"))
    record = min((tmp_path / "Evaluation").glob("eval_*.json"))
    content = json.loads(record.read_text())
    content["config"]["embeddings"], content["sizes"]["embedding_bits"] = "auto", 8 * 11_917_824
    content["allocation"]["embeddings"] = "int8"
    record.write_text(json.dumps(content))
    lines = shown(lambda console: comparison_views(compare(tmp_path), console), 120).splitlines()
    assert any("Embeddings" in line for line in lines)
    assert sorted(word for line in lines for word in line.split() if word in ("fp32", "int8")) == [
        *["fp32"] * 2,  # the FP32 model and the other run
        "int8",
    ]


def test_the_losses_have_their_place_at_80_columns_whatever_the_runs_are_called(tmp_path):
    shutil.copytree(RUNS, tmp_path / "Evaluation", ignore=shutil.ignore_patterns("run_*"))
    (group,) = compare(tmp_path).groups
    long = {"group_bits": (32, 16, 8, 4), "trained": True, "clustering": "hierarchical"}
    runs = tuple(
        replace(run, **long, metric="debiased_cka", loss_over_optimum=1.05, drop=0.25) for run in group.runs
    )
    comparison = Comparison(folder="", groups=(replace(group, runs=runs),))
    text = fits(shown(lambda console: comparison_views(comparison, console), 80), 80)
    assert "Loss" in text.splitlines()[3]
    assert text.count("1.05") == 2


def plans(write_scores):
    """The plan of every phase, as the menu makes it."""
    path = write_scores().relative_to(Path.cwd())
    config = RunConfig(model="embedded", calibration_size=1000, eval_size=1000)
    phase_2 = config.replace(sensitivities=str(path))
    return {
        "sensitivity": make_plan(config, "sensitivity"),
        "quantize": make_plan(phase_2, "quantize"),
        "run": make_plan(config, "run"),
    }


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("phase", ["sensitivity", "quantize", "run"])
def test_plan(tmp_path, write_scores, monkeypatch, phase, width):
    monkeypatch.setattr("bert_mpq.ui.views.panels.accelerator", lambda: "cpu")
    monkeypatch.chdir(tmp_path)
    plan = plans(write_scores)[phase]
    time = "about 3 min, by the run of 2026-01-13 14:25"
    text = shown(lambda console: [plan_panel(plan, console, time)], width)
    check(f"plan_{phase}_{width}", fits(text, width))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_files_and_the_repeat_command(encoding):
    files = [Path("Evaluation/eval_BERT_IMDB_kmeans_3groups_20260113_142530.txt")]

    def views(console):
        print_repeat("bert-mpq run --bits 16,8,4 --yes", console)
        return [files_panel(files, 132.4, console)]

    check(f"files_{encoding}", shown(views, encoding=encoding))


@pytest.mark.parametrize("width", [60, 80])
def test_an_error_on_a_terminal_is_a_panel_and_elsewhere_two_lines(width):
    error = MpqError(
        "E-NETWORK", "Cannot reach the Hugging Face hub and X is not in the cache.", "Use --model embedded."
    )
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, _environ={})
    print_error(error, terminal)
    check(f"error_{width}", terminal.file.getvalue())
    plain = console(width)
    print_error(error, plain)
    assert text_of(plain) == f"error[E-NETWORK]: {error.title}\nhint: {error.hint}\n"


def test_the_header_names_model_data_and_device(monkeypatch):
    monkeypatch.setattr("bert_mpq.ui.wizard.menu.accelerator", lambda: "cuda")
    config = RunConfig(model="embedded", data="/data/my.csv", max_length=128, output="out")
    check("header", shown(lambda console: [*header(RunConfig(), console), setting_line(config, console)]))


def test_doctor():
    checks = [
        Check(section="Versions", name="torch", value="2.13.0"),
        Check(section="Hub", name="huggingface.co", value="no answer", state="note", hint="Use the cache."),
        Check(section="Folders", name="Evaluation", value="full", state="problem", hint="Free some space."),
    ]
    check("doctor", shown(doctor_views(checks)))


def dry_run_screen(_):
    outcome = Outcome(
        bits_per_weight=6.83, whole_bits=459_657_280, whole_original_bits=726_847_552, kl=0.0123
    )
    files = tuple(
        Path(folder, f"{stem}_TIME{suffix}")
        for folder, stem, suffix in (
            ("Sensitivities", "run", ".json"),
            ("Evaluation", "eval_BERT_IMDB_kmeans_3groups", ".safetensors"),
        )
    )
    dry = DryRun(command="", reviews={}, bits=(), outcomes=(outcome,), files=files, seconds=132.0)
    return dry_run_views(dry)


def doctor_screen(_):
    long = "in the cache (model.safetensors of 17ca895b3b4c5ee2d2c1b0c3d3d3a6e7a3f1d2c4)"
    return doctor_views([Check(section="Hub", name="textattack/bert-base-uncased-imdb", value=long)])


SCREENS = {"dry_run": dry_run_screen, "doctor": doctor_screen}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_other_screens(name, width):
    check(f"{name}_{width}", fits(shown(SCREENS[name], width), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_heat_map_and_the_header(sensitivity, monkeypatch, width):
    monkeypatch.setattr("bert_mpq.ui.wizard.menu.accelerator", lambda: "cuda")
    text = fits(shown(lambda console: heat_map(sensitivity, "pwcca", console), width), width)
    check(f"heat_map_{width}", text)
    fits(shown(lambda console: header(RunConfig(), console), width), width)
