import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from bert_mpq.export import folder as folders
from bert_mpq.export.folder import check_space, check_target, new_folder
from bert_mpq.settings.errors import MpqError


def test_a_folder_appears_whole(tmp_path):
    target = check_target(tmp_path / "deep" / "exported")
    with new_folder(target) as temporary:
        (temporary / "config.json").write_text("{}")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename must not cross file systems
    assert (target / "config.json").read_text() == "{}"
    assert os.listdir(target.parent) == ["exported"]
    (tmp_path / "plain").mkdir()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "exported").mkdir()
    with new_folder(check_target(tmp_path / "exported")) as temporary:
        (temporary / "a").write_text("a")
    assert os.listdir(tmp_path / "exported") == ["a"]


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, said in (
        ("full", "is not empty"),
        ("file", "is no folder"),
        ("link", "is no folder"),
        ("here", "is the folder you are in"),
    ):
        with pytest.raises(MpqError, match=said) as refused:
            check_target(tmp_path / name)
        assert refused.value.code == "E-EXPORT"


def test_a_folder_that_was_filled_meanwhile_is_kept(tmp_path):
    target = check_target(tmp_path / "exported")

    def export():
        with new_folder(target):
            target.mkdir()
            (target / "precious").write_text("x")

    with pytest.raises(MpqError, match="filled meanwhile") as refused:
        export()
    assert refused.value.code == "E-EXPORT"
    assert os.listdir(tmp_path) == ["exported"]
    assert os.listdir(target) == ["precious"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("boom"), SystemExit(1)])
def test_whatever_happens_nothing_half_written_is_left(tmp_path, error):
    def export():
        with new_folder(tmp_path / "exported") as temporary:
            (temporary / "half").write_text("x")
            raise error

    with pytest.raises(type(error)):
        export()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Quota exceeded"),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_so_whichever_library_found_out(tmp_path, error):
    with pytest.raises(MpqError) as refused, new_folder(tmp_path / "exported"):
        raise error
    assert refused.value.code == "E-DISK"
    assert os.listdir(tmp_path) == []


def test_a_real_full_disk_is_said_so(tmp_path):
    def export():
        with new_folder(tmp_path / "exported"), open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x" * 4096)

    with pytest.raises(MpqError) as refused:
        export()
    assert refused.value.code == "E-DISK"


def test_too_little_space_is_found_before_the_start(tmp_path):
    check_space(tmp_path / "exported", 1)
    with pytest.raises(MpqError) as refused:
        check_space(tmp_path / "exported" / "deep", 1 << 62)
    assert refused.value.code == "E-DISK"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MpqError) as refused, new_folder(tmp_path / "file" / "exported"):
        pytest.fail("the folder cannot be there")
    assert refused.value.code == "E-READONLY"


def test_a_killed_export_leaves_no_folder_of_that_name(tmp_path):
    code = (
        "import sys, time, pathlib; from bert_mpq.export.folder import new_folder\n"
        "with new_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); print('writing', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "exported")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.05)
    left = os.listdir(tmp_path)
    assert "exported" not in left
    assert all(name.startswith(".exported.") and name.endswith(".part") for name in left)
    assert folders.check_target(tmp_path / "exported")
