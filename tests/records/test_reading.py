import dataclasses
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.records.reading import list_analyses, list_evaluations, read_analysis, read_evaluation
from bert_mpq.records.run_record import record_text
from bert_mpq.settings.errors import MpqError

RUNS = Path(__file__).parent.parent / "golden" / "runs"


@pytest.fixture
def record(tmp_path, evaluation_result):
    path = tmp_path / "eval.json"
    path.write_text(record_text(evaluation_result, "20260113_142530"))
    return path


def test_a_record_gives_back_what_was_written(record, evaluation_result):
    read = read_evaluation(record)
    assert read.result == evaluation_result
    assert (read.timestamp, read.revision) == ("20260113_142530", evaluation_result.setting.revision)
    assert read.command.startswith("bert-mpq quantize")


def test_the_report_names_its_record(record, evaluation_result):
    record.with_suffix(".txt").write_text("report")
    assert read_evaluation(record.with_suffix(".txt")).result == evaluation_result


def test_the_record_of_phase_1_is_refused(tmp_path, sensitivity_result):
    path = tmp_path / "run.json"
    path.write_text(record_text(sensitivity_result, "20260113_142530"))
    with pytest.raises(MpqError, match="it is no record of an evaluation") as refused:
        read_evaluation(path)
    assert refused.value.code == "E-JSON"


def test_no_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(MpqError, match="No run record at") as refused:
            read_evaluation(path)
        assert refused.value.code == "E-NOFILE"


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["schema"], "other", "no schema of a run record"),
        (["version"], 99, "its version is 99, this program reads 1"),
        (["before"], None, "before is missing"),
        (["before", "accuracy"], "high", "before.accuracy is not what it should be"),
        (["before", "accuracy"], 10**400, "before.accuracy is too large a number"),
        (["allocation", "bits"], [16, "8"], r"allocation.bits\[1\] is not what it should be"),
        (["sizes"], [], "sizes is not an object"),
        (["allocation", "linears"], [3], "allocation.linears does not fit its bits"),
        (
            ["refinement"],
            {"reviews": 8, "plans": [], "optimum": 0, "gain_error": 0.0},
            "refinement.optimum is none of its plans",
        ),
        (["stages", 0, "seconds"], True, r"stages\[0\].seconds is not what it should be"),
    ],
)
def test_a_broken_record_says_what_is_wrong_where(record, keys, value, said):
    content = json.loads(record.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    record.write_text(json.dumps(content))
    with pytest.raises(MpqError, match=said) as refused:
        read_evaluation(record)
    assert refused.value.code == "E-JSON"


def refused(path):
    """Whether a record is refused in one sentence; any other exception is a traceback for the user."""
    try:
        read_evaluation(path)
    except MpqError as error:
        return error.code != "E-NOFILE"
    return False


def test_a_record_that_is_cut_off_is_refused(record, evaluation_result):
    whole = record.read_bytes()

    @given(length=st.integers(0, len(whole) - 2))
    def cut(length):
        record.write_bytes(whole[:length])
        assert refused(record)

    cut()
    record.write_bytes(whole[:-1])  # only the end of the line is lost
    assert read_evaluation(record).result == evaluation_result


def test_a_record_with_a_part_that_was_never_written_is_refused(record):
    whole = record.read_bytes()

    @given(place=st.integers(0, len(whole) - 1), length=st.integers(1, 4096))
    def zero(place, length):
        record.write_bytes(whole[:place] + bytes(length) + whole[place + length :])
        assert refused(record)

    zero()


def test_a_damaged_record_is_refused_or_read_for_what_it_says(record):
    whole = record.read_bytes()

    @given(place=st.integers(0, len(whole)), junk=st.binary(max_size=8), length=st.integers(0, 8))
    def damage(place, junk, length):
        record.write_bytes(whole[:place] + junk + whole[place + length :])
        if not refused(record):
            assert says(json.loads(record.read_bytes()), read_evaluation(record).result)

    damage()


def says(content, value):
    """Whether a value is what stands in the JSON: absent keys are defaults, null is NaN, lists are tuples."""
    if dataclasses.is_dataclass(value):
        return all(
            says(content[field.name], getattr(value, field.name))
            if field.name in content
            else getattr(value, field.name) == field.default
            for field in dataclasses.fields(value)
        )
    if isinstance(value, tuple):
        items = content if isinstance(content, list) else [content]  # one width may stand without brackets
        return len(items) == len(value) and all(map(says, items, value))
    if isinstance(value, float):
        return math.isnan(value) if content is None else value == float(content)
    return type(content) is type(value) and content == value


def test_the_record_of_phase_1_gives_back_what_was_written(tmp_path, sensitivity_result):
    path = tmp_path / "run.json"
    path.write_text(record_text(sensitivity_result, "20260113_142530"))
    assert read_analysis(path).result == sensitivity_result


@pytest.mark.parametrize("path", sorted(RUNS.iterdir()), ids=lambda path: path.stem)
def test_records_of_real_runs_still_load(path):
    record = read_analysis(path) if path.stem.startswith("run") else read_evaluation(path)
    assert record.result.sample.size == 1_000
    assert record.result.config.model == "embedded"
    assert record.platform.startswith("Linux")


def test_lists_are_newest_first_without_what_cannot_be_read(tmp_path, record):
    folder = tmp_path / "Evaluation"
    folder.mkdir()
    for name, timestamp in (("eval_a", "20260101_000000"), ("eval_b", "20260102_000000")):
        content = json.loads(record.read_text()) | {"timestamp": timestamp}
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "eval_c.json").write_text('{"schema":')
    assert [each.path.stem for each in list_evaluations(tmp_path)] == ["eval_b", "eval_a"]
    assert list_analyses(tmp_path) == []
