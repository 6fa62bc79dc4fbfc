"""What was read once, kept as Arrow files to be mapped into memory, under the hash of its content."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_mpq.records.files import ABANDONED, disk_errors
from bert_mpq.settings.paths import cache_folder
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.layouts import Layout, read_layout
from bert_mpq.sources.readers.opening import damage
from bert_mpq.sources.wheels import sha256

VERSION = 1  # of how tables are read: another one makes every file be read again
INDEX = "splits.json"
ROWS = 1_000  # of a batch in a file


def read_cached(layout: Layout, wanted: Wanted) -> dict[str, Path]:
    """Return the Arrow file of each split, in the order in which they were read; read again after any change.

    Raises:
        MpqError: E-DATA-FORMAT; E-READONLY or E-DISK when the cache cannot be written.
    """
    folder = cache_folder() / "reviews" / _key(layout, wanted)
    return _stored(folder) or _filled(folder, read_layout(layout, wanted))


def _key(layout: Layout, wanted: Wanted) -> str:
    """Return a hash of all that decides what is read: contents, names of splits, what the user says."""
    digest = hashlib.sha256()
    said = [wanted.text_column, wanted.label_column, sorted(wanted.labels)]
    digest.update(json.dumps([VERSION, layout.kind, layout.path.suffix.lower(), said]).encode())
    splits = {file: split for split, file in layout.tables}
    for file in layout.files:
        inside = file.name if file == layout.path else str(file.relative_to(layout.path))
        what = f"{splits[file]} {file.suffix.lower()}" if file in splits else inside
        with damage(file):
            digest.update(json.dumps([what, sha256(file)]).encode())
    return digest.hexdigest()[:40]


def _stored(folder: Path) -> dict[str, Path] | None:
    """Return the files of a folder of the cache; None when they are not there whole."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        index = json.loads((folder / INDEX).read_text())
        files = {split: folder / name for split, (name, _) in index.items()}
        if all((folder / name).stat().st_size == size for name, size in index.values()):
            return files
    return None


def _filled(folder: Path, tables: Iterable[tuple[str, Any]]) -> dict[str, Path]:
    """Write the splits into a folder that appears at once, or not at all; return their files."""
    parent = folder.parent
    with _cache_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        _clean(parent)
        temporary = Path(tempfile.mkdtemp(dir=parent, prefix="."))
    try:
        index = _write(temporary, tables)
        with _cache_errors(parent):
            (temporary / INDEX).write_text(json.dumps(index))
            shutil.rmtree(folder, ignore_errors=True)  # it was not whole
            _publish(temporary, folder)
        return {split: folder / name for split, (name, _) in index.items()}
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _clean(parent: Path) -> None:
    """Remove what writes left that were killed days ago."""
    for path in parent.glob(".*"):
        with contextlib.suppress(OSError):  # another run may have been quicker
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path)


def _write(folder: Path, tables: Iterable[tuple[str, Any]]) -> dict[str, tuple[str, int]]:
    """Write each split into a file of its own; return their names and sizes in bytes."""
    import pyarrow

    with contextlib.ExitStack() as stack:
        files: dict[str, Any] = {}
        writers: dict[str, Any] = {}
        for split, table in tables:
            with _cache_errors(folder.parent):
                if split not in files:
                    files[split] = stack.enter_context((folder / f"{len(files)}.arrow").open("wb"))
                    writers[split] = pyarrow.ipc.new_stream(files[split], table.schema)
                writers[split].write_table(table, max_chunksize=ROWS)
        with _cache_errors(folder.parent):
            for split, file in files.items():
                writers[split].close()
                file.flush()
                os.fsync(file.fileno())
            return {split: (Path(file.name).name, file.tell()) for split, file in files.items()}


def _publish(temporary: Path, folder: Path) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        if _stored(folder) is None:  # else another process was quicker
            raise


def _cache_errors(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Say in plain words that the cache cannot be written; raises MpqError E-READONLY or E-DISK."""
    return disk_errors(folder, "the cache folder ", "Set BERT_MPQ_CACHE to a folder that can be written.")
