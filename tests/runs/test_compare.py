"""Evaluations side by side: what may be ranked together, and in which order."""

import json
from pathlib import Path

import pytest

from bert_mpq import compare

RECORD = json.loads(min(Path(__file__).parent.parent.joinpath("golden", "runs").glob("eval_*")).read_text())


@pytest.fixture
def write(tmp_path):
    folder = tmp_path / "Evaluation"
    folder.mkdir()

    def add(name, accuracy=0.8, **changes):
        content = json.loads(json.dumps(RECORD))
        content["timestamp"] = name
        content["after"]["accuracy"] = accuracy
        for key, value in changes.items():
            section, _, field = key.partition("__")
            content[section][field] = value
        (folder / f"eval_{name}.json").write_text(json.dumps(content))

    return add


def test_the_best_accuracy_comes_first_and_among_equals_the_smallest(tmp_path, write):
    write("20260101_000000", 0.70)
    write("20260101_000001", 0.90)
    write("20260101_000002", 0.90, sizes__scale_bits=8)
    (group,) = compare(tmp_path).groups
    assert [run.timestamp[-1] for run in group.runs] == ["2", "1", "0"]


@pytest.mark.parametrize(
    "change",
    [
        {"sample__fingerprint": "f" * 64},
        {"sample__split": "TEST set"},
        {"setting__model_name": "another"},
        {"setting__data_name": "another"},
        {"setting__max_length": 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_on_other_reviews_or_models_are_never_ranked_together(tmp_path, write, change):
    write("20260101_000000")
    write("20260101_000001", **change)
    write("20260101_000002")
    groups = compare(tmp_path).groups
    assert [[run.timestamp[-1] for run in group.runs] for group in groups] == [["0", "2"], ["1"]]


def test_an_empty_folder_has_nothing_to_compare(tmp_path):
    assert compare(tmp_path).groups == ()


def test_files_of_other_kinds_are_left_out(tmp_path, write):
    write("20260101_000000")
    (tmp_path / "Evaluation" / "eval_broken.json").write_text('{"schema":')
    (tmp_path / "Evaluation" / "notes.json").write_text("{}")
    assert len(compare(tmp_path).groups[0].runs) == 1
