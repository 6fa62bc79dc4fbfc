"""What was read once, kept as Arrow files to be mapped into memory, under the hash of its content."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bert_mpq.settings.paths import cache_folder
from bert_mpq.sources.cache import made_at
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
    if (stored := _stored(folder)) is not None:
        return stored
    with made_at(folder) as path:
        names = _write(path, read_layout(layout, wanted))
        shutil.rmtree(folder, ignore_errors=True)  # it was not whole
    return {split: folder / name for split, name in names.items()}


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


def _write(folder: Path, tables: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Write each split into a file of its own, beside an index with their sizes; return their names."""
    import pyarrow

    folder.mkdir()
    with contextlib.ExitStack() as stack:
        files: dict[str, Any] = {}
        writers: dict[str, Any] = {}
        for split, table in tables:
            if split not in files:
                files[split] = stack.enter_context((folder / f"{len(files)}.arrow").open("wb"))
                writers[split] = pyarrow.ipc.new_stream(files[split], table.schema)
            writers[split].write_table(table, max_chunksize=ROWS)
        for writer in writers.values():
            writer.close()
        index = {split: (Path(file.name).name, file.tell()) for split, file in files.items()}
    (folder / INDEX).write_text(json.dumps(index))
    return {split: name for split, (name, _) in index.items()}
