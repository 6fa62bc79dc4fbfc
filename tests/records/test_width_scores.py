"""Files of scores at several widths: what is written is what is read, and nothing else is taken for one."""

import json
import math

import pytest

from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.sensitivity_file import list_sensitivity_files
from bert_mpq.records.width_scores import (
    MetricTable,
    TableLosses,
    WidthScores,
    read_width_scores,
    write_width_scores,
)
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError

SCORES = WidthScores(
    config=RunConfig(model="embedded", probe_bits=(4, 2)),
    model_name="embedded",
    split="TRAIN set, calibration half",
    reviews=64,
    outline=Outline(
        linears=tuple(LinearShape(name=f"l.{k}", layer=k, outputs=8, inputs=4) for k in range(2)),
        embedding_weights=30,
        embedding_scales=0,
        norm_weights=2,
        head_weights=6,
    ),
    widths=(4, 2),
    tables=(
        MetricTable(metric="kl", values=((0.125, 1 / 3), (1e-9, 0.0))),
        MetricTable(metric="pwcca", values=((math.nan, 0.5), (0.25, 0.5))),
    ),
    embeddings=TableLosses(reviews=8, int8=1e-5, int4=0.002),
)


@pytest.fixture
def file(tmp_path):
    return write_width_scores(tmp_path, SCORES, "20250113_142530")


def changed(file, *keys, value):
    content = json.loads(file.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    file.write_text(json.dumps(content))


def test_scores_survive_the_file_to_the_last_digit(file):
    read = read_width_scores(file)
    assert file.name == "widths_20250113_142530.json"
    assert repr(read) == repr(SCORES)  # repr, because NaN is not equal to itself
    assert read.metrics == ("kl",)


def test_a_second_file_of_the_same_second_gets_its_own_name(file, tmp_path):
    assert write_width_scores(tmp_path, SCORES, "20250113_142530").name == "widths_20250113_142530_2.json"


def test_the_picker_of_sensitivity_files_does_not_list_them(tmp_path):
    (tmp_path / "Sensitivities").mkdir()
    write_width_scores(tmp_path / "Sensitivities", SCORES, "20250113_142530")
    assert list_sensitivity_files(tmp_path) == []


def test_a_sensitivity_file_is_told_apart(tmp_path):
    path = tmp_path / "flat.json"
    path.write_text('{"layer_0": 0.1}')
    with pytest.raises(MpqError, match="has the scores of one width; a budget needs several") as refused:
        read_width_scores(path)
    assert refused.value.code == "E-BUDGET"
    assert "--probe-bits 4,2,3,8" in refused.value.hint


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(MpqError) as refused:
        read_width_scores(tmp_path / "gone.json")
    assert refused.value.code == "E-NOFILE"


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["version"], 9, "its version is 9"),
        (["schema"], "x", "no scores at several widths"),
        (["widths"], [4], "are not layers x widths"),
        (["widths"], [4, 4], "distinct"),
        (["widths"], [4, "2"], "not what it should be"),
        (["tables", 0, "values"], [[0.1, 0.2]], "are not layers x widths"),
        (["tables", 0, "values"], [[0.1, 0.2], [0.1, -0.2]], "a score below 0"),
        (["tables", 0, "metric"], "ssim", "metric"),
        (["outline", "linears"], [], "without entries"),
        (["outline", "linears", 0, "layer"], 5, "leaves layers out"),
        (["outline", "linears", 0, "layer"], 1, "or is not in their order"),
        (["outline", "linears", 0, "inputs"], 0, "without entries"),
        (["outline", "embedding_weights"], 1.5, "embedding_weights"),
        (["embeddings", "int4"], -0.1, "no number from 0 on"),
        (["embeddings", "int8"], None, "no number from 0 on"),
        (["embeddings"], {"int8": 0.1}, "embeddings.reviews is missing"),
        (["config", "nonsense"], 1, "nonsense"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(file, keys, value, said):
    changed(file, *keys, value=value)
    with pytest.raises(MpqError, match=said) as refused:
        read_width_scores(file)
    assert refused.value.code in ("E-JSON", "E-CONFIG")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 5000, '{"schema": "bert-mpq/width-scores"}'])
def test_a_file_that_is_cut_off_or_of_another_kind(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(MpqError) as refused:
        read_width_scores(path)
    assert refused.value.code == "E-JSON"
