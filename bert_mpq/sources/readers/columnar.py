"""Parquet and Arrow files, and the folders of ``save_to_disk``; ClassLabels become their names."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.readers.opening import TableKind, open_unpacked
from bert_mpq.sources.readers.text_table import check_names, text_table
from bert_mpq.sources.wording import shown

ROWS = 4_096  # at a time
FILE_MARK = b"ARROW1"


def read_columnar(path: Path, kind: TableKind) -> Iterator[Any]:
    """Yield the rows of a Parquet or Arrow file as Arrow tables of text; raises MpqError E-DATA-FORMAT."""
    with open_unpacked(path) as file, _damage(path, kind.capitalize()):
        batches, schema = _parquet(file) if kind == "parquet" else _arrow(file)
        label_names = _label_names(schema)
        check_names(path, schema.names)
        for batch in batches:
            yield _strings(batch, label_names)


def read_saved(path: Path, table: Any) -> Iterator[Any]:
    """Yield the rows of a ``datasets.Dataset`` as Arrow tables of text; raises MpqError E-DATA-FORMAT."""
    with _damage(path, "Arrow"):
        features = table.features.items()
        label_names = {name: kind.names for name, kind in features if hasattr(kind, "names")}
        for batch in table.with_format("arrow").iter(batch_size=ROWS):
            yield _strings(batch, label_names)


def _parquet(file: Any) -> tuple[Iterator[Any], Any]:
    import pyarrow.parquet

    stored = pyarrow.parquet.ParquetFile(_seekable(file))
    return stored.iter_batches(batch_size=ROWS), stored.schema_arrow


def _arrow(file: Any) -> tuple[Iterator[Any], Any]:
    """Read either kind of Arrow file: the stream that ``datasets`` writes, or the file that pandas writes."""
    import pyarrow

    if file.peek(len(FILE_MARK)).startswith(FILE_MARK):
        stored = pyarrow.ipc.open_file(_seekable(file))
        return (stored.get_batch(at) for at in range(stored.num_record_batches)), stored.schema
    stream = pyarrow.ipc.open_stream(file)
    return iter(stream), stream.schema


def _seekable(file: Any) -> Any:
    import pyarrow

    return file if file.seekable() else pyarrow.BufferReader(file.read())


@contextlib.contextmanager
def _damage(path: Path, kind: str) -> Iterator[None]:
    """Say in plain words that Arrow cannot read a file; raises MpqError E-DATA-FORMAT."""
    import pyarrow

    damaged = (ValueError, OSError, KeyError, TypeError, AttributeError)  # the last three in its metadata
    try:
        yield
    # A damaged length asks for more memory than there is.
    except (pyarrow.ArrowException, MemoryError, *damaged) as error:
        raise DataError(
            f"{shown(path.name)} is no readable {kind} file: it is damaged, cut off or of another kind.",
            "Download or write it again.",
        ) from error


def _label_names(schema: Any) -> dict[str, list[str]]:
    """Return the names of the labels of the columns that ``datasets`` wrote as ClassLabel."""
    stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = stored.get("info", {}).get("features", {})
    return {
        name: [str(label) for label in kind["names"]]
        for name, kind in features.items()
        if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
    }


def _strings(batch: Any, label_names: dict[str, list[str]]) -> Any:
    """Return the columns of a batch that are text, numbers or truth values as a table of text."""
    import pyarrow

    batch.validate(full=True)
    columns: dict[str, Any] = {}
    texts = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        plain = column.cast(column.type.value_type) if pyarrow.types.is_dictionary(column.type) else column
        if name in label_names:
            columns[name] = _named(plain, label_names[name])
        elif _is_text(plain.type) or _is_number(plain.type):
            columns[name] = plain.cast(pyarrow.string())
            texts += [name] if _is_text(plain.type) else []
    return text_table(columns, texts)


def _named(column: Any, names: list[str]) -> list[str | None]:
    """Return the names of labels; a label that has none, such as -1, stays a number."""
    words = dict(enumerate(names))
    return [None if label is None else words.get(label, str(label)) for label in column.to_pylist()]


def _is_text(kind: Any) -> bool:
    return str(kind) in ("string", "large_string", "string_view")


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind))
