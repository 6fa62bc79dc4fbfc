"""JSON: a list of objects, an object of columns, or one object a line."""

import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.readers.encodings import not_unicode, text_encoding
from bert_mpq.sources.readers.opening import TableKind, open_unpacked
from bert_mpq.sources.readers.text_table import text_table
from bert_mpq.sources.wording import listed, shown

ROWS = 10_000  # at a time
SHAPES = 'Write [{"text": ..., "label": ...}, ...], or one such object a line.'
Row = dict[str, Any]


def read_json(path: Path, kind: TableKind) -> Iterator[Any]:
    """Yield the rows of a file as Arrow tables of text; raises MpqError E-DATA-FORMAT."""
    encoding = text_encoding(path)
    try:
        lines = kind == "lines" or _begins_with_an_object(path, encoding)
        with open_unpacked(path) as file, io.TextIOWrapper(file, encoding) as text:
            rows = _lines(path, text) if lines else iter(_rows(path, _parsed(path, text.read(), "")))
            yield from _tables(rows)
    except UnicodeError as error:
        raise not_unicode(path, encoding) from error


def _begins_with_an_object(path: Path, encoding: str) -> bool:
    """Return whether the first line is a row by itself, so that each of the others is one."""
    with open_unpacked(path) as file, io.TextIOWrapper(file, encoding) as text:
        first = next((line for line in text if line.strip()), "")
    try:
        content = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and not any(isinstance(value, dict | list) for value in content.values())


def _lines(path: Path, text: IO[str]) -> Iterator[Row]:
    number = 0
    for line in text:
        if not line.strip():
            continue
        number += 1
        row = _parsed(path, line, f", row {number:,}")
        if not isinstance(row, dict):
            raise DataError(f"{shown(path.name)}, row {number:,} is no object.", SHAPES)
        yield row


def _parsed(path: Path, text: str, where: str) -> Any:
    name = f"{shown(path.name)}{where}"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = where or f" at line {error.lineno:,}, column {error.colno:,}"
        raise DataError(f"{shown(path.name)}{place} is not valid JSON.", SHAPES) from error
    except RecursionError as error:
        raise DataError(f"{name} is nested too deeply.", SHAPES) from error
    except ValueError as error:
        raise DataError(f"{name} holds a number with too many digits.", SHAPES) from error


def _rows(path: Path, content: Any) -> list[Row]:
    """Return the rows of a whole file: of its list, of the one list in it, or of its columns."""
    import pandas

    if isinstance(content, dict):
        tables = {name: value for name, value in content.items() if _is_table(value)}
        if len(tables) > 1:
            raise DataError(
                f"{shown(path.name)} holds several tables: {listed(list(tables))}.",
                "Write each into a file of its own, such as train.json and test.json, in one folder.",
            )
        if tables:
            content = next(iter(tables.values()))
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    if not isinstance(content, dict) or not all(isinstance(each, dict | list) for each in content.values()):
        raise DataError(f"{shown(path.name)} is no list of objects.", SHAPES)
    try:
        rows: list[Row] = pandas.DataFrame(content).to_dict("records")
    except (ValueError, TypeError, OverflowError) as error:
        large = isinstance(error, OverflowError)
        reason = " holds a number with too many digits." if large else ": its columns differ in length."
        raise DataError(f"{shown(path.name)}{reason}", SHAPES) from error
    return rows


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _tables(rows: Iterable[Row]) -> Iterator[Any]:
    """Turn rows into tables with the columns of the first one."""
    remaining = iter(rows)
    names: dict[str, bool] = {}  # whether they hold text
    while batch := list(itertools.islice(remaining, ROWS)):
        names = names or _columns(batch)
        columns = {name: [_text(row.get(name)) for row in batch] for name in names}
        yield text_table(columns, [name for name in names if names[name]])


def _columns(batch: list[Row]) -> dict[str, bool]:
    """Return the columns without lists and objects in them, and whether each holds text."""
    columns = {}
    for name in dict.fromkeys(key for row in batch for key in row):
        values = [row.get(name) for row in batch]
        if _encodes(name) and not any(isinstance(value, dict | list) for value in values):
            columns[name] = any(isinstance(value, str) for value in values)
    return columns


def _text(value: Any) -> str | None:
    if value is None or value != value or isinstance(value, dict | list):
        return None
    # Half of a surrogate pair, which no Arrow text can hold, becomes the sign for a lost character.
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
