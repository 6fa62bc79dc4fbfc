"""Separated values (CSV, TSV, semicolons): read strictly, and every refusal with its row."""

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers.dialects import Dialect, find_dialect, rows_of
from bert_mpq.sources.readers.encodings import not_unicode, text_encoding
from bert_mpq.sources.readers.text_table import check_names, text_table
from bert_mpq.sources.wording import shown

ROWS = 10_000  # at a time
QUOTE_HINT = 'Put fields with quotation marks between quotation marks, and write each of theirs twice: "".'


def read_separated(path: Path, wanted: Wanted) -> Iterator[Any]:
    """Yield the rows of a file as Arrow tables of text.

    Raises:
        MpqError: E-DATA-FORMAT, with the row where there is one.
    """
    encoding = text_encoding(path)
    try:
        dialect = find_dialect(path, encoding, wanted)
        check_names(path, dialect.names)
        rows = _rows(path, dialect)
        while batch := list(itertools.islice(rows, ROWS)):
            columns = zip(dialect.names, zip(*batch, strict=True), strict=True)
            named = {name: values for name, values in columns if name}  # an index has no name
            yield text_table(named, named)
    except UnicodeError as error:
        raise not_unicode(path, encoding) from error


def _rows(path: Path, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows below the header, each with as many fields."""
    name, number = shown(path.name), -1
    with rows_of(path, dialect) as rows:
        try:
            for number, row in enumerate(rows):
                if len(row) != len(dialect.names):
                    raise DataError(
                        f"{name}, row {number:,} has {len(row)} field{'s' * (len(row) != 1)}, but the header"
                        f" names {len(dialect.names)} columns.",
                        "Put fields that contain the separator between quotation marks.",
                    )
                if number:
                    yield row
        except csv.Error as error:
            raise _explained(name, number + 1, error) from error


def _explained(name: str, row: int, error: csv.Error) -> MpqError:
    """Return a sentence for an error of the parser."""
    if "unexpected end of data" in str(error):
        return DataError(f"{name}: the quotation mark that opens in row {row:,} never closes.", QUOTE_HINT)
    if "expected after" in str(error):
        return DataError(f"{name}, row {row:,}: a quoted field goes on after its closing mark.", QUOTE_HINT)
    return DataError(f"{name}, row {row:,} cannot be taken apart into fields.", "Save it as CSV again.")
