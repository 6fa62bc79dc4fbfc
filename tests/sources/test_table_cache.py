"""What was read is kept under the hash of its content: the content decides, not the name or the time."""

import os
import shutil

import pytest

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources import table_cache
from bert_mpq.sources.cache import UNDER_WAY
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers import separated
from bert_mpq.sources.reviews import find_reviews, load_reviews
from tests.helpers.data_forms import Form, write

ROWS = [(f"Review number {index}: a film, of course.", index % 2) for index in range(20)]
OTHER = [(text.replace("film", "book"), 1 - label) for text, label in ROWS]  # of the same length


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, and how often a file is read."""
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reviews"


def read(path, wanted=None):
    source = find_reviews(str(path), wanted or Wanted())
    halves = [load_reviews(source, split) for split in ("calibration", "evaluation")]
    return {text: label for half in halves for text, label in zip(half.texts, half.labels, strict=True)}


@pytest.mark.parametrize("container", ["csv", "csv.gz", "json", "parquet", "saved", "texts", "tar"])
def test_another_content_with_the_same_path_size_and_time_is_read(tmp_path, cache, container):
    form = Form(container=container, words=("neg", "pos"))
    path = write(tmp_path, {"": ROWS}, form)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    times = {file: file.stat().st_mtime_ns for file in files}
    assert read(path) == dict(ROWS)
    path.unlink() if path.is_file() else shutil.rmtree(path)
    write(tmp_path, {"": OTHER}, form)
    for file, time in times.items():
        if file.exists():
            os.utime(file, ns=(time, time))
    assert read(path) == dict(OTHER)


def test_the_same_content_is_read_once_wherever_it_lies(tmp_path, cache, monkeypatch):
    path = write(tmp_path, {"": ROWS}, Form())
    assert read(path) == dict(ROWS)
    copy = shutil.copy(path, tmp_path / "copy.csv")

    def again(*_):
        raise AssertionError("read again")

    monkeypatch.setattr("bert_mpq.sources.layouts.read_separated", again)
    assert read(copy) == read(path) == dict(ROWS)
    assert len(list(cache.iterdir())) == 1


def test_another_reading_is_read_again(tmp_path, cache):
    path = write(tmp_path, {"": ROWS}, Form())
    reversed_ = Wanted(labels=("1=negative", "0=positive"))
    assert read(path) == {text: 1 - label for text, label in read(path, reversed_).items()}
    assert len(list(cache.iterdir())) == 2


def test_a_renamed_split_is_read_again(tmp_path, cache):
    path = write(tmp_path, {"train": ROWS, "validation": OTHER}, Form())
    assert find_reviews(str(path)).reading.evaluation.split == "validation"
    (path / "validation.csv").rename(path / "test.csv")
    assert find_reviews(str(path)).reading.evaluation.split == "test"


@pytest.mark.parametrize("damage", ["cut", "gone", "index"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, damage):
    path = write(tmp_path, {"": ROWS}, Form())
    read(path)
    (folder,) = cache.iterdir()
    if damage == "cut":
        (folder / "0.arrow").write_bytes((folder / "0.arrow").read_bytes()[:-20])
    elif damage == "gone":
        (folder / "0.arrow").unlink()
    else:
        (folder / table_cache.INDEX).write_text('{"": 3}')
    assert read(path) == dict(ROWS)


def test_nothing_is_left_of_a_file_that_is_refused(tmp_path, cache):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "good,1\n" * 30_000 + "bad\n")
    with pytest.raises(MpqError, match=r"row 30,001 has 1 field"):
        find_reviews(str(path))
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERT_MPQ_CACHE", str(tmp_path / "file"))
    path = write(tmp_path, {"": ROWS}, Form())
    with pytest.raises(MpqError) as refused:
        find_reviews(str(path))
    assert refused.value.code == "E-READONLY"
    assert (
        refused.value.title == f"Cannot write to the cache folder {tmp_path}/file/reviews/ (not a directory)."
    )
    assert refused.value.hint == "Set BERT_MPQ_CACHE to a folder that can be written."


def test_a_full_disk_says_so(tmp_path, cache, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = write(tmp_path, {"": ROWS}, Form())
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(MpqError) as refused:
        find_reviews(str(path))
    assert refused.value.code == "E-DISK"
    assert list(cache.iterdir()) == []


def test_what_a_killed_write_left_is_removed_after_a_day(tmp_path, cache):
    left = cache / f"{UNDER_WAY}left"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    read(write(tmp_path, {"": ROWS}, Form()))
    assert not left.exists()


def test_two_readers_at_once_do_not_disturb_each_other(tmp_path, cache, monkeypatch):
    """The second one finishes while the first one still reads."""
    path = write(tmp_path, {"": ROWS}, Form())
    plain, calls = separated.read_separated, []

    def slow(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            assert read(path) == dict(ROWS)
        yield from plain(*arguments)

    monkeypatch.setattr("bert_mpq.sources.layouts.read_separated", slow)
    assert read(path) == dict(ROWS)
    assert len(calls) == 2
    assert len(list(cache.iterdir())) == 1
