"""The fourth strategy in the menu: when it is offered, and what is asked instead of groups."""

import json
from dataclasses import replace

import pytest

from bert_mpq.records.width_scores import TableLosses, write_width_scores
from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.reviews import DataSource
from bert_mpq.ui.wizard.file_step import file_options, file_step
from bert_mpq.ui.wizard.prompts import BACK, problem_of
from bert_mpq.ui.wizard.questions import phase_2_steps
from bert_mpq.ui.wizard.steps import Walk
from bert_mpq.ui.wizard.target_step import TARGET_PRESETS, read_target
from tests.ui.test_plan_command import SCORES
from tests.ui.test_widths import MODEL, check

SOURCES = Sources(
    model=replace(MODEL, name="embedded", kind="embedded", layers=6, hidden=384),
    data=DataSource(name="imdb", kind="wheel"),
    sizes={"calibration": 12_450, "evaluation": 12_454},
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Sensitivities").mkdir()
    return tmp_path / "Sensitivities"


@pytest.fixture
def walk(monkeypatch, tmp_path):
    """Answer menus by the value wanted, else with the first row that can be chosen; keep the screens."""

    def go(with_file, **wanted):
        screens = {}

        def choose(message, options, default, **_):
            name = message.split("  ")[-1]
            screens[name] = options
            enabled = [option.value for option in options if not option.disabled]
            return wanted[name] if wanted.get(name) in enabled else enabled[0]

        monkeypatch.setattr("bert_mpq.ui.wizard.steps.choose", choose)
        config = RunConfig(output=str(tmp_path))
        config = Walk(phase_2_steps(SOURCES, with_file), config, config).forward()
        assert config is not BACK
        return config, screens

    return go


def test_a_file_of_several_widths_is_for_a_budget_only(walk, folder):
    file = write_width_scores(folder, SCORES, "20250113_142530")
    config, screens = walk(True)
    assert (config.clustering, config.target) == ("budget", TARGET_PRESETS[0][1])
    assert config.sensitivities == str(file)
    strategies = screens["Clustering strategy"]
    assert [option.title for option in strategies][3] == "Budget (exact, by target size)"
    assert [bool(option.disabled) for option in strategies] == [True, True, True, False]
    assert screens["Budget granularity"][1].disabled == "the file has scores of layers only"
    assert "Number of precision groups" not in screens
    assert "Bit precision assignment" not in screens
    targets = screens["Target"]
    assert targets[1].description == "3.9 bits a weight; model 51 of 87 MB (1.70x); KL 0.13460"
    for message, options in screens.items():
        check(f"Step 3 of 4  {message}", options)


def test_bits_per_matrix_are_offered_where_the_file_has_their_scores(walk, folder):
    (table,) = SCORES.tables
    linears = replace(table, values=tuple(row for row in table.values for _ in range(6)))
    write_width_scores(folder, replace(SCORES, linears=(linears,)), "20250113_142530")
    config, screens = walk(True, **{"Budget granularity": "linear", "Target": "3bits"})
    assert (config.granularity, config.tie, config.target) == ("linear", True, "3bits")
    assert not any(option.disabled for option in screens["Budget granularity"])
    for message, options in screens.items():
        check(f"Step 4 of 5  {message}", options)


def test_a_file_of_one_width_is_for_the_clusterings_only(walk, folder):
    scores = {f"layer_{index}": 0.1 * (index + 1) for index in range(6)}
    (folder / "layer_sensitivity_BERT_IMDB_cka.json").write_text(json.dumps(scores))
    config, screens = walk(True)
    assert (config.clustering, config.target) == ("kmeans", None)
    assert screens["Clustering strategy"][3].disabled == "needs a widths_ file: see Full pipeline"
    assert "Target" not in screens


def test_the_pointer_is_on_the_file_that_agrees_best_with_the_damage(folder):
    scores = json.dumps({f"layer_{index}": 0.1 * (index + 1) for index in range(6)})
    for metric, line in (("pwcca", "+0.38"), ("cka", "+0.99"), ("svcca", "much"), ("debiased_cka", None)):
        path = folder / f"layer_sensitivity_BERT_IMDB_{metric}.json"
        path.write_text(scores)
        known = f"spearman_with_kl: {line}\n" if line else ""
        path.with_suffix(".txt").write_text(f"metric: {metric}\ncalibration_samples: 900\n{known}")
    config = RunConfig(output=str(folder.parent))
    step, best = file_step(SOURCES), str(folder / "layer_sensitivity_BERT_IMDB_cka.json")
    assert step.last(config, config) == best
    about = {row.value: row.description for row in step.options(config)}
    assert about.pop(best).startswith("6 layers, CKA, 900 reviews, damage +0.99, ")
    assert ["damage" in text for text in about.values()].count(True) == 1
    other = Sources(**{**vars(SOURCES), "model": replace(SOURCES.model, layers=12)})
    assert file_step(other).last(config, config.replace(sensitivities="earlier")) == "earlier"


def test_a_full_pipeline_may_end_in_a_budget_whose_scores_are_yet_to_be_measured(walk):
    config, screens = walk(False, **{"Clustering strategy": "budget", "Target": "0.5pp"})
    assert (config.clustering, config.target, config.widths) == ("budget", "0.5pp", (4, 2, 3, 8))
    assert not any(option.disabled for option in screens["Target"])


def test_a_broken_file_and_one_of_another_model_are_shown_with_the_reason(walk, folder):
    write_width_scores(folder, SCORES, "20250113_142530")
    (folder / "widths_9.json").write_text("{")
    _, screens = walk(True)
    broken, _ = screens["Load sensitivity file"]
    assert broken.disabled == "broken JSON"
    other = replace(SOURCES.model, name="other")
    config = RunConfig(output=str(folder.parent))
    rows = file_options(config, Sources(**{**vars(SOURCES), "model": other}))
    assert rows[1].disabled == "measured on embedded"


def test_a_target_of_the_whole_model_chooses_the_embeddings(walk, folder):
    losses = TableLosses(reviews=256, int8=0.000009, int4=0.0025)
    write_width_scores(folder, replace(SCORES, embeddings=losses), "20250113_142530")
    _, screens = walk(True)
    fifth = next(option for option in screens["Target"] if option.value == "5x")
    assert fifth.description == "8.0 bits; model 17 of 87 MB (5.13x); KL 0.00301, int4 embeddings"
    assert not fifth.disabled
    assert "embeddings" not in screens["Target"][0].description
    check("Target", screens["Target"])


def test_a_target_is_checked_where_it_is_typed(folder):
    config = RunConfig(
        clustering="budget",
        target="4bits",
        sensitivities=str(write_width_scores(folder, SCORES, "20250113_142530")),
    )
    assert (read_target(config, " 1.5X "), read_target(config, "1pp")) == ("1.5x", "1pp")
    said = [problem_of(lambda text=text: read_target(config, text)) for text in ("4x", "four")]
    assert said == ["4x cannot be reached; 1.76x or less can", '"four" is no target']
