"""Atomic writes: a killed run leaves the old file or the new one, nothing between."""

import contextlib
import errno
import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path

SENSITIVITIES = "Sensitivities"
EVALUATION = "Evaluation"
# What lies in Sensitivities/ beside the sensitivity files begins with one of these.
RUN_PREFIX, WIDTHS_PREFIX, VALIDATION_PREFIX = "run_", "widths_", "validation_"
ABANDONED = 86_400.0  # seconds; a write that is under way takes a few
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # exFAT, some network drives


def slug(name: str) -> str:
    """Return ``name`` as a word for file names: letters, digits, dot and dash."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "unnamed"


def prepare_folder(output: Path | str, name: str) -> Path:
    """Return ``output/name``, made if needed, without the temporary files of writes killed days ago.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    folder = user_path(output) / name
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(filter(Path.is_file, folder.glob(".*.part")))
    return folder


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove the temporary files and folders that were written to days ago: their writers were killed."""
    for path in paths:
        with contextlib.suppress(OSError):  # another run may have been quicker
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def existing_part(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def check_writable(output: Path | str, name: str) -> None:
    """Show that ``output/name`` can be written, without making it; raises MpqError E-READONLY or E-DISK."""
    folder = user_path(output) / name
    with disk_errors(folder), tempfile.TemporaryFile(dir=existing_part(folder)):
        pass


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write ``path`` whole or not at all, replacing an older file.

    Raises:
        MpqError: E-READONLY or E-DISK; the older file is kept and nothing half-written is left.
    """
    with disk_errors(path.parent), _temporary(path.parent, content) as temporary:
        os.replace(temporary, path)
        _sync_folder(path.parent)
    return path


def write_stream(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let ``write`` fill ``path``, whole or not at all, without holding the content in memory.

    A write that is killed leaves ``path.part``, which the next one overwrites.

    Raises:
        MpqError: E-READONLY or E-DISK; the older file is kept.
    """
    temporary = path.with_name(path.name + ".part")
    with disk_errors(path.parent):
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_new(folder: Path, stem: str, suffix: str, content: str | bytes) -> Path:
    """Write ``stem + suffix``, or ``stem_2 + suffix`` and so on: never over a file that is there.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    with disk_errors(folder), _temporary(folder, content) as temporary:
        for count in itertools.count(1):
            path = folder / (f"{stem}{suffix}" if count == 1 else f"{stem}_{count}{suffix}")
            with contextlib.suppress(FileExistsError):
                _publish(temporary, path)
                break
        _sync_folder(folder)
    return path


def _publish(temporary: str, path: Path) -> None:
    """Give the file its name; unlike a rename, raises FileExistsError when the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _publish_without_links(temporary, path)


def _publish_without_links(temporary: str, path: Path) -> None:
    """Rename under a dot-file that only one process can make: an empty ``path`` would be a torn artifact."""
    reserved = path.with_name(f".{path.name}.reserved")
    os.close(os.open(reserved, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if path.exists():
            raise FileExistsError
        os.replace(temporary, path)
    finally:
        reserved.unlink()


@contextlib.contextmanager
def _temporary(folder: Path, content: str | bytes) -> Iterator[str]:
    """Yield a synced temporary file in ``folder``; it is gone afterwards unless it was renamed."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~umask())
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def umask() -> int:
    """Return the permissions that new files do not get."""
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def disk_errors(
    folder: Path, what: str = "", hint: str = "Run in another folder, or --output PATH."
) -> Iterator[None]:
    """Say in plain words that something could not be written; ``what`` is said before the folder.

    Raises:
        MpqError: E-READONLY or E-DISK for every OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(folder) from error
        reason = (error.strerror or str(error)).lower()
        raise MpqError("E-READONLY", f"Cannot write to {what}{folder}/ ({reason}).", hint) from error


def full_disk(folder: Path) -> MpqError:
    """Return the error for a disk without space."""
    return MpqError("E-DISK", f"The disk with {folder}/ is full.", "Free some space.")
