"""A folder that is written whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bert_mpq.records.files import disk_errors, existing_part, full_disk, umask
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path


def check_target(name: Path | str) -> Path:
    """Return the absolute path of a folder that an export may make.

    Raises:
        MpqError: E-EXPORT when it holds something, E-NOFILE when it is no path.
    """
    path = user_path(name).absolute()
    hint = "Give the name of a new folder."
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise MpqError("E-EXPORT", f"{name} is there already and is no folder.", hint)
    if path.exists() and any(path.iterdir()):
        raise MpqError("E-EXPORT", f"{name} is not empty; nothing is overwritten.", hint)
    if path.exists() and path.samefile(Path.cwd()):
        raise MpqError("E-EXPORT", f"{name} is the folder you are in.", hint)
    return path


def check_space(path: Path, needed: int) -> None:
    """Refuse to start what cannot end well.

    Args:
        needed: bytes.

    Raises:
        MpqError: E-DISK.
    """
    if shutil.disk_usage(existing_part(path)).free < needed:
        raise full_disk(path)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` that takes its name when the block ends well, else is removed.

    Args:
        path: what ``check_target`` returned; an empty folder of that name is replaced.

    Raises:
        MpqError: E-READONLY or E-DISK, also for what the block could not write; E-EXPORT when somebody else
            has made ``path`` meanwhile.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        with disk_errors(path):
            yield temporary
            _publish(temporary, path)
    except MpqError:
        raise
    except Exception as error:  # libraries in Rust raise no OSError
        found = re.search(r"os error (\d+)", str(error))
        if found and int(found[1]) in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(path) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, path: Path) -> None:
    for file in filter(Path.is_file, temporary.rglob("*")):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    os.chmod(temporary, 0o777 & ~umask())
    try:
        if path.exists():
            path.rmdir()
        os.rename(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise MpqError("E-EXPORT", f"{path} has been filled meanwhile.", "Give a new folder.") from error
        raise
