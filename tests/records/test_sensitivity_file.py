import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bert_mpq.records.sensitivity import LayerScore, Scores
from bert_mpq.records.sensitivity_file import (
    list_sensitivity_files,
    read_sensitivities,
    sensitivity_path,
    sensitivity_text,
    write_sensitivities,
)
from bert_mpq.settings.errors import MpqError

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def refusal(tmp_path):
    """Return the error of reading a sensitivity file with the given content."""

    def read(content: str | bytes) -> MpqError:
        path = tmp_path / "scores.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(MpqError) as refused:
            read_sensitivities(path)
        return refused.value

    return read


def test_the_text_file_is_as_released(sensitivity_result, scores):
    golden = GOLDEN / "layer_sensitivity_BERT_IMDB_pwcca.txt"
    assert sensitivity_text(sensitivity_result, scores) == golden.read_text()


def test_the_header_of_the_text_file_begins_as_the_original_tools(sensitivity_result, scores):
    original = (GOLDEN / "readme_sensitivities.txt").read_text().split("layer_0")[0]
    assert sensitivity_text(sensitivity_result, scores).startswith(original)


def test_the_layers_of_the_text_file_are_as_the_original_tools(sensitivity_result, scores):
    lines = sensitivity_text(sensitivity_result, scores).splitlines()
    first, second, _, last = (GOLDEN / "readme_sensitivities.txt").read_text().splitlines()[-4:]
    assert (lines[-12], lines[-11], lines[-1]) == (first, second, last)


@pytest.mark.parametrize("metric", ["pwcca", "svcca", "cka"])
def test_the_default_file_names_are_the_original_tools(tmp_path, sensitivity_result, metric):
    scores = Scores(metric=metric, layers=(LayerScore(value=0.5),))
    names = [path.name for path in write_sensitivities(tmp_path, sensitivity_result, scores)]
    assert names == [f"layer_sensitivity_BERT_IMDB_{metric}{suffix}" for suffix in (".json", ".txt")]


def test_other_models_and_data_are_named_in_the_file_name(sensitivity_result):
    setting = dataclasses.replace(
        sensitivity_result.setting, model_word="rö berta/v1.5", data_word="../my reviews"
    )
    path = sensitivity_path(Path(), dataclasses.replace(sensitivity_result, setting=setting), "cka")
    assert str(path) == "layer_sensitivity_r-berta-v1.5_my-reviews_cka.json"


def test_a_dot_in_the_model_name_is_no_suffix(tmp_path, sensitivity_result, scores):
    setting = dataclasses.replace(sensitivity_result.setting, model_word="bert-v1.5")
    result = dataclasses.replace(sensitivity_result, setting=setting)
    json_file, text_file = write_sensitivities(tmp_path, result, scores)
    assert (json_file.name, text_file.name) == (
        "layer_sensitivity_bert-v1.5_IMDB_pwcca.json",
        "layer_sensitivity_bert-v1.5_IMDB_pwcca.txt",
    )


def test_the_json_holds_the_layers_in_order_and_nothing_else(tmp_path, sensitivity_result, scores):
    path, _ = write_sensitivities(tmp_path, sensitivity_result, scores)
    content = json.loads(path.read_text())
    assert list(content) == [f"layer_{index}" for index in range(12)]
    assert tuple(content.values()) == scores.values


def test_scores_survive_the_file_to_the_last_bit(tmp_path, sensitivity_result):
    values = (1 / 3, 5e-324, 0.1 + 0.2, 0.0, 1.0)
    scores = Scores(metric="cka", layers=tuple(LayerScore(value=value) for value in values))
    path, _ = write_sensitivities(tmp_path, sensitivity_result, scores)
    assert read_sensitivities(path).values == values


def test_the_text_file_beside_it_tells_where_the_scores_come_from(tmp_path, sensitivity_result, scores):
    path, _ = write_sensitivities(tmp_path, sensitivity_result, scores)
    read = read_sensitivities(path)
    assert (read.file_name, read.metric, read.model_name, read.samples) == (
        "layer_sensitivity_BERT_IMDB_pwcca.json",
        "pwcca",
        "textattack/bert-base-uncased-imdb",
        "25000",
    )


def test_a_json_without_its_text_file_is_enough(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"layer_1": 1, "layer_0": 0.25}')
    read = read_sensitivities(path)
    assert (read.values, read.metric) == ((0.25, 1.0), "")


def test_a_text_file_written_on_windows_is_understood(tmp_path):
    (tmp_path / "old.json").write_text('{"layer_0": 0.1}')
    (tmp_path / "old.txt").write_bytes(b"model: bert\r\nmetric: pwcca\r\n")
    assert read_sensitivities(tmp_path / "old.json").metric == "pwcca"


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "notepad.json"
    path.write_bytes(b'\xef\xbb\xbf{"layer_0": 0.1}')
    assert read_sensitivities(path).values == (0.1,)


def test_a_model_folder_with_an_undecodable_name_can_be_written_of(tmp_path, sensitivity_result, scores):
    setting = dataclasses.replace(sensitivity_result.setting, model_name=os.fsdecode(b"/models/caf\xe9"))
    path, text = write_sensitivities(
        tmp_path, dataclasses.replace(sensitivity_result, setting=setting), scores
    )
    assert "model: /models/caf\\udce9" in text.read_text("utf-8").splitlines()
    read = read_sensitivities(path)
    assert (read.values, read.model_name) == (scores.values, "/models/caf\\udce9")


def test_an_unusable_layer_is_an_error_and_nothing_is_written(tmp_path, sensitivity_result, scores):
    saturated = LayerScore(value=1.0, status="saturated", explanation="rank 384 of 400 rows", usable=False)
    broken = dataclasses.replace(scores, layers=(*scores.layers[:2], saturated))
    with pytest.raises(MpqError) as refused:
        write_sensitivities(tmp_path, sensitivity_result, broken)
    assert refused.value.code == "E-SCORE"
    assert refused.value.title == "layer_2 has no valid PWCCA score (saturated: rank 384 of 400 rows)."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing.json", "", "no/such/folder.json"])
def test_a_path_without_a_file_is_named(tmp_path, name):
    with pytest.raises(MpqError) as refused:
        read_sensitivities(tmp_path / name)
    assert refused.value.code == "E-NOFILE"
    assert refused.value.title == f"No sensitivity file at {tmp_path / name}."
    assert refused.value.hint == "Run Phase 1, or pick another file."


@pytest.mark.parametrize("path", ["x" * 300, "~no-such-user/scores.json"], ids=["too long", "no such user"])
def test_a_path_that_no_file_can_have_is_no_file(path):
    with pytest.raises(MpqError) as refused:
        read_sensitivities(path)
    assert refused.value.code == "E-NOFILE"


@pytest.mark.parametrize(
    ("content", "title"),
    [
        (
            '{\n  "layer_0": 0.1,\n',
            "scores.json is not valid JSON"
            " (line 3, column 1: Expecting property name enclosed in double quotes).",
        ),
        ("", "scores.json is not valid JSON (line 1, column 1: Expecting value)."),
        ('{"layer_0": 1} x', "scores.json is not valid JSON (line 1, column 16: Extra data)."),
        ("[0.1, 0.2]", 'scores.json: it must be an object like {"layer_0": 0.12}.'),
        ("0.5", 'scores.json: it must be an object like {"layer_0": 0.12}.'),
        ("{}", 'scores.json: it must be an object like {"layer_0": 0.12}.'),
        (
            '{"layer_0": 1, "layer_1": 1, "layer_2": 1, "layer_4": 1}',
            "scores.json: layer_3 is missing.",
        ),
        ('{"layer_1": 1}', "scores.json: layer_0 is missing."),
        ('{"layer_0": 1, "embeddings": 1}', 'scores.json: "embeddings" is no layer.'),
        ('{"layer_00": 1}', 'scores.json: "layer_00" is no layer.'),
        ('{"layer_0": 1, "layer_0": 2}', 'scores.json: "layer_0" stands twice.'),
        ('{"layer_0": NaN}', "scores.json: NaN is not a number."),
        ('{"layer_0": Infinity}', "scores.json: Infinity is not a number."),
        ('{"layer_0": -Infinity}', "scores.json: -Infinity is not a number."),
        ('{"layer_0": 1e999}', "scores.json: layer_0 is inf, not a score of 0 or more."),
        ('{"layer_0": -0.1}', "scores.json: layer_0 is -0.1, not a score of 0 or more."),
        (f'{{"layer_0": {"9" * 400}}}', f"scores.json: layer_0 is {'9' * 20}, not a score of 0 or more."),
        ('{"layer_0": true}', "scores.json: layer_0 is not a number."),
        ('{"layer_0": "0.1"}', "scores.json: layer_0 is not a number."),
        ('{"layer_0": null}', "scores.json: layer_0 is not a number."),
        ('{"layer_0": {"value": 1}}', "scores.json: layer_0 is not a number."),
        (b'{"layer_0": 0.1}'.replace(b"a", b"\xe4"), "scores.json: it is not UTF-8 text."),
        ("[" * 100_000, "scores.json: it is nested too deeply."),
        ('{"layer_0": 1}' + " " * 2**20, "scores.json: it is larger than any sensitivity file."),
    ],
    ids=lambda value: value[:24] if isinstance(value, str | bytes) else None,
)
def test_a_broken_file_is_refused_with_what_is_wrong_where(refusal, content, title):
    error = refusal(content)
    assert error.code == "E-JSON"
    assert error.title == title
    assert error.hint


def test_a_number_too_long_for_python_is_refused_in_our_words(refusal):
    assert "sys.set_int_max_str_digits" not in refusal(f'{{"layer_0": {"9" * 5000}}}').title


def test_a_huge_number_is_refused(refusal):
    assert refusal(f'{{"layer_0": {"9" * 5000}}}').code == "E-JSON"


@given(st.binary() | st.text(alphabet='{}[]":,layer_01.-eNaN \n').map(str.encode))
@example(b'{"layer_0": 0.5}')
@example(b'{"layer_0": 1, "layer_1": \xff}')
@example(b'{"layer_\xd9\xa3": 1}')
def test_any_bytes_are_scores_or_an_error_that_can_be_shown(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    try:
        outcome = read_sensitivities(path).values
    except MpqError as error:
        outcome = error.code
    assert outcome == "E-JSON" or min(outcome) >= 0


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Sensitivities"
    folder.mkdir()
    return folder


def test_the_newest_file_is_listed_first(tmp_path, folder):
    for name, modified in (("a", 100), ("b", 300), ("c", 200)):
        (folder / f"{name}.json").write_text('{"layer_0": 0.1}')
        os.utime(folder / f"{name}.json", (modified, modified))
    assert [path.name for path in list_sensitivity_files(tmp_path)] == ["b.json", "c.json", "a.json"]


def test_files_of_the_same_second_are_listed_by_name(tmp_path, folder):
    for name in ("b", "a"):
        (folder / f"{name}.json").write_text('{"layer_0": 0.1}')
        os.utime(folder / f"{name}.json", (100, 100))
    assert [path.name for path in list_sensitivity_files(tmp_path)] == ["a.json", "b.json"]


def test_a_broken_file_is_listed_too(tmp_path, folder):
    (folder / "cut.json").write_text('{"layer_0": 0.1')
    assert list_sensitivity_files(tmp_path) == [folder / "cut.json"]


def test_run_records_texts_and_folders_are_not_listed(tmp_path, folder):
    (folder / "run_20250113_142530.json").write_text("{}")
    (folder / "scores.txt").write_text("metric: cka")
    (folder / "folder.json").mkdir()
    (folder / "scores.json").write_text('{"layer_0": 0.1}')
    assert [path.name for path in list_sensitivity_files(tmp_path)] == ["scores.json"]


def test_without_a_folder_nothing_is_listed(tmp_path):
    assert list_sensitivity_files(tmp_path) == []
