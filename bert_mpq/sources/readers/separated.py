"""Separated values (CSV, TSV, semicolons): read strictly by pandas, and every refusal with its row."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers.dialects import ROWS, UTF_8, Dialect, find_dialect, rows_of, text_encoding
from bert_mpq.sources.readers.opening import open_unpacked
from bert_mpq.sources.readers.text_table import check_names, text_table
from bert_mpq.sources.wording import shown

QUOTE_HINT = 'Put fields with quotation marks between quotation marks, and write each of theirs twice: "".'


def read_separated(path: Path, wanted: Wanted) -> Iterator[Any]:
    """Yield the rows of a file as Arrow tables of text.

    Raises:
        MpqError: E-DATA-FORMAT, with the row where there is one.
    """
    dialect = Dialect(encoding=text_encoding(path), separator=",")
    try:
        dialect = find_dialect(path, dialect.encoding, wanted)
        check_names(path, dialect.names)
        with rows_of(path, dialect) as frames:
            for at, frame in enumerate(frames):
                rows = frame if at else frame.iloc[1:]  # without the header
                _check_complete(path, dialect, rows, max(0, at * ROWS - 1))
                yield _table(dialect.names, rows)
    except UnicodeError as error:
        raise not_unicode(path, dialect.encoding) from error
    except (ValueError, csv.Error) as error:
        raise _explained(path, dialect, error) from error


def _check_complete(path: Path, dialect: Dialect, rows: Any, done: int) -> None:
    missing = rows.isna().to_numpy().any(axis=1)
    if missing.any():
        at = int(missing.argmax())
        fields = int(rows.iloc[at].notna().sum())
        raise _wrong_count(path, done + 1 + at, fields, len(dialect.names))


def _table(names: tuple[str, ...], rows: Any) -> Any:
    columns = {name: rows[at].tolist() for at, name in enumerate(names) if name}  # an index has no name
    return text_table(columns, columns)


def _wrong_count(path: Path, row: int, fields: int, columns: int) -> MpqError:
    return MpqError(
        "E-DATA-FORMAT",
        f"{shown(path.name)}, row {row:,} has {fields} field{'s' * (fields != 1)}, but the header names"
        f" {columns} columns.",
        "Put fields that contain the separator between quotation marks.",
    )


def _explained(path: Path, dialect: Dialect, error: Exception) -> MpqError:
    """Return a sentence for an error of the reader."""
    counted = re.match(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if counted:
        expected, line, fields = map(int, counted.groups())
        return _wrong_count(path, line - 1, fields, expected)
    name, row = shown(path.name), _last_row(path, dialect)
    if "unexpected end of data" in str(error):
        return MpqError(
            "E-DATA-FORMAT", f"{name}: the quotation mark that opens in row {row:,} never closes.", QUOTE_HINT
        )
    if "expected after" in str(error):
        return MpqError(
            "E-DATA-FORMAT",
            f"{name}, row {row:,}: a quoted field goes on after its closing mark.",
            QUOTE_HINT,
        )
    return MpqError(
        "E-DATA-FORMAT", f"{name}, row {row:,} cannot be taken apart into fields.", "Save it as CSV again."
    )


def _last_row(path: Path, dialect: Dialect) -> int:
    """Return the row at which reading ends with an error; the header is row 0."""
    row = 0
    with open_unpacked(path) as file, io.TextIOWrapper(file, dialect.encoding, newline="") as text:
        try:
            reader = csv.reader(
                text, delimiter=dialect.separator, skipinitialspace=dialect.blanks, strict=True
            )
            for fields in reader:
                row += bool(fields)
        except (csv.Error, UnicodeError):
            return row
    return row


def not_unicode(path: Path, encoding: str) -> MpqError:
    """Return the error for text in another encoding, with the line."""
    name = "UTF-8" if encoding == UTF_8 else encoding.upper()
    line = 0
    if encoding == UTF_8:
        with open_unpacked(path) as file:
            line = next((number for number, each in enumerate(file, 1) if not _decodes(each)), 0)
    where = f", line {line:,}" if line else ""
    return MpqError(
        "E-DATA-FORMAT",
        f"{shown(path.name)}{where} is not in {name}.",
        "Save it as UTF-8; if it is from an older Windows program, it is in cp1252.",
    )


def _decodes(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
