"""The one JSON reader: its limits, and what it says of a file that it refuses."""

import errno
import json
import math

import pytest

from bert_mpq.records.json_file import json_text, read_json, refusals, versioned
from bert_mpq.settings.errors import MpqError


def read(tmp_path, content, largest=200, **more):
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_json(path, largest, "run record", **more)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_is_read_in_every_encoding_that_json_knows(tmp_path, encoding):
    assert read(tmp_path, '{"é": [1, 2.5, null]}'.encode(encoding)) == {"é": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1]" + " " * 200, "it is larger than any run record"),
        (b'"caf\xe9"', "it is not UTF-8 text"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 4001, "a number is too long"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', '"c" stands twice'),
        ("[NaN]", "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
    ],
    ids=["size", "encoding", "depth", "digits", "keys", "NaN", "infinity"],
)
def test_what_is_wrong_is_said(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, content, largest=200 if said.startswith("it is larger") else 1 << 20)


def test_what_other_programs_write_may_be_let_through(tmp_path):
    value = read(tmp_path, '{"a": 1, "a": NaN, "b": Infinity}', strict=False)
    assert math.isnan(value["a"])
    assert value["b"] == math.inf


def test_a_folder_and_nothing_at_all_are_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "gone.json"):
        with pytest.raises(FileNotFoundError):
            read_json(path, 100, "run record")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def locked(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", locked)
    with pytest.raises(ValueError, match=r"cannot be read \(permission denied\)"):
        read(tmp_path, "1")


@pytest.mark.parametrize(
    ("content", "code", "title"),
    [
        (None, "E-NOFILE", "No run record at {path}."),
        ("[1 2]", "E-CONFIG", "file.json is not valid JSON (line 1, column 4: Expecting ',' delimiter)."),
        ('{"a": 1, "a": 1}', "E-CONFIG", 'file.json: "a" stands twice.'),
    ],
)
def test_a_refusal_is_one_sentence(tmp_path, content, code, title):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MpqError) as refused, refusals(path, "run record", "Run Phase 1.", "E-CONFIG"):
        read_json(path, 100, "run record")
    assert (refused.value.code, refused.value.hint) == (code, "Run Phase 1.")
    assert refused.value.title == title.format(path=path)


def test_a_format_is_told_by_schema_and_version():
    content = {"schema": "a", "version": 1}
    assert versioned(content, "a", 1, "it is no a") is content
    for other in ({"schema": "b", "version": 1}, {"version": 1}, [], None):
        with pytest.raises(ValueError, match="it is no a"):
            versioned(other, "a", 1, "it is no a")
    with pytest.raises(ValueError, match="its version is 2, this program reads 1"):
        versioned({"schema": "a", "version": 2}, "a", 1, "it is no a")


def test_what_is_no_number_is_written_as_null():
    text = json_text({"a": (1.5, math.nan), "b": [{"c": -math.inf}]})
    assert json.loads(text) == {"a": [1.5, None], "b": [{"c": None}]}
    assert text.endswith("\n")
