import errno
import os
import threading

import pytest

from bert_mpq.records.files import check_writable, prepare_folder, slug, write_atomic, write_new, write_stream
from bert_mpq.settings.errors import MpqError


def failing(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("BERT", "BERT"),
        ("bert-base-uncased-imdb", "bert-base-uncased-imdb"),
        ("my model (v1.5)", "my-model-v1.5"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("rezensionen_für_müller", "rezensionen-f-r-m-ller"),
        ("映画", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_a_slug_is_a_safe_word_for_a_file_name(name, word):
    assert slug(name) == word


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "scores.json"
    write_atomic(path, "a long first version")
    assert write_atomic(path, "ünïcode\n") == path
    assert path.read_bytes() == "ünïcode\n".encode()


def test_a_write_leaves_its_file_and_no_other(tmp_path):
    write_atomic(tmp_path / "scores.json", "text")
    write_new(tmp_path, "run", ".json", "text")
    assert sorted(os.listdir(tmp_path)) == ["run.json", "scores.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_no_half_written_one(tmp_path, monkeypatch, call, code):
    path = tmp_path / "scores.json"
    write_atomic(path, "old")
    monkeypatch.setattr(os, call, failing(code))
    with pytest.raises(MpqError) as refused:
        write_atomic(path, "new")
    assert refused.value.code == "E-DISK"
    assert refused.value.title == f"The disk with {tmp_path}/ is full."
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["scores.json"]


def test_a_full_disk_leaves_no_half_written_record(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(MpqError) as refused:
        write_new(tmp_path, "run", ".json", "text")
    assert refused.value.code == "E-DISK"
    assert os.listdir(tmp_path) == []


def test_a_write_that_is_refused_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", failing(errno.EACCES))
    with pytest.raises(MpqError) as refused:
        write_atomic(tmp_path / "scores.json", "text")
    assert refused.value.code == "E-READONLY"
    assert refused.value.title == f"Cannot write to {tmp_path}/ (permission denied)."
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    path = tmp_path / "scores.json"
    write_atomic(path, "old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["scores.json"]


def test_files_are_as_readable_as_others_of_the_user(tmp_path):
    old = os.umask(0o027)
    try:
        path = write_atomic(tmp_path / "scores.json", "text")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def test_two_records_of_the_same_second_both_survive(tmp_path):
    first = write_new(tmp_path, "run_20250113_142530", ".json", "one")
    second = write_new(tmp_path, "run_20250113_142530", ".json", "two")
    third = write_new(tmp_path, "run_20250113_142530", ".json", "three")
    assert [path.name for path in (first, second, third)] == [
        "run_20250113_142530.json",
        "run_20250113_142530_2.json",
        "run_20250113_142530_3.json",
    ]
    assert [path.read_text() for path in (first, second, third)] == ["one", "two", "three"]


def test_records_written_at_once_never_overwrite_each_other(tmp_path):
    texts = {f"record {number}" for number in range(16)}
    threads = [threading.Thread(target=write_new, args=(tmp_path, "run", ".json", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.read_text() for path in tmp_path.iterdir()} == texts


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_a_disk_without_hard_links_is_no_obstacle(tmp_path, monkeypatch, code):
    # exFAT, many network drives, Google Drive in Colab.
    monkeypatch.setattr(os, "link", failing(code))
    write_new(tmp_path, "run", ".json", "one")
    write_new(tmp_path, "run", ".json", "two")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"one", "two"}


def test_a_folder_is_made_with_its_parents(tmp_path):
    folder = prepare_folder(tmp_path / "new" / "output", "Evaluation")
    assert folder == tmp_path / "new" / "output" / "Evaluation"
    assert list(folder.iterdir()) == []


def test_what_a_killed_write_left_is_removed_a_day_later(tmp_path):
    folder = prepare_folder(tmp_path, "Evaluation")
    old, new, report = (folder / name for name in (".a.part", ".b.part", "report.txt"))
    for path in (old, new, report):
        path.write_text("")
    for path in (old, report):
        os.utime(path, (0, 0))
    prepare_folder(tmp_path, "Evaluation")
    assert sorted(folder.iterdir()) == [new, report]


def test_a_stream_replaces_its_file_whole_or_not_at_all(tmp_path):
    path = tmp_path / "state"
    write_stream(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"new")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(MpqError) as refused:
        write_stream(path, fail)
    assert refused.value.code == "E-DISK"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["state"]


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MpqError) as refused:
        prepare_folder(tmp_path / "file", "Sensitivities")
    assert refused.value.code == "E-READONLY"
    assert refused.value.title == f"Cannot write to {tmp_path}/file/Sensitivities/ (not a directory)."


def test_a_folder_that_refuses_files_is_noticed_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: failing(errno.EROFS)())
    with pytest.raises(MpqError, match="read-only file system") as refused:
        check_writable(tmp_path, "Sensitivities")
    assert refused.value.code == "E-READONLY"


@pytest.mark.parametrize("output", ["~no-such-user/output", "nul\0byte"])
def test_a_folder_that_cannot_exist_is_refused(output):
    with pytest.raises(MpqError) as refused:
        prepare_folder(output, "Sensitivities")
    assert refused.value.code == "E-NOFILE"
