"""How a file of separated values is written: separator, quotation marks, blanks."""

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bert_mpq.settings.errors import DataError
from bert_mpq.settings.label_words import Meaning, is_number, label_key, meaning
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers.opening import open_unpacked
from bert_mpq.sources.wording import is_name, shown

SEPARATORS = (",", "\t", ";", "|")
LONGEST_HEADER = 1 << 20  # characters
SAMPLE = 20  # rows
QUOTED = re.compile(r'"(?:[^"]|"")*"')
NAME_THEM = "Use --text-column and --label-column, or write a first line such as text,label."
NO_HEADER = "Write a first line that names the columns, such as text,label."


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a file is written.

    Args:
        encoding: of the text.
        separator: between two fields.
        quoted: whether quotation marks enclose a field; else they are signs like any other.
        blanks: whether separators are followed by a blank that is no part of the field.
        names: of the columns.
    """

    encoding: str
    separator: str
    quoted: bool = True
    blanks: bool = False
    names: tuple[str, ...] = ()


def find_dialect(path: Path, encoding: str, wanted: Wanted) -> Dialect:
    """Find out how a file is written.

    The separator is the one that gives the header its known names. Quotation marks enclose fields, unless
    every line reads well without that and one of them has a mark that no writer who quotes would leave.

    Raises:
        MpqError: E-DATA-FORMAT; UnicodeError.
    """
    header = _first_line(path, encoding)
    found = [Dialect(encoding=encoding, separator=sign, names=_names(header, sign)) for sign in SEPARATORS]
    best = max(found, key=lambda each: (wanted.recognised(each.names), len(each.names)))
    _check_header(path, best, wanted)
    unquoted = replace(best, quoted=False)
    if _reads_unquoted(path, unquoted, wanted):
        return unquoted
    return replace(best, blanks=f"{best.separator} " in header and _has_blanks(path, best))


@contextlib.contextmanager
def rows_of(path: Path, dialect: Dialect) -> Iterator[Iterator[list[str]]]:
    """Read the rows of a file, header included, with the strict parser of Python; blank lines are no rows.

    Raises:
        MpqError: as ``open_unpacked``; UnicodeError and csv.Error while rows are read.
    """
    before = csv.field_size_limit(2**31 - 1)  # of characters: a review may be longer than the default
    try:
        with open_unpacked(path) as file, io.TextIOWrapper(file, dialect.encoding, newline="") as text:
            rows = csv.reader(
                text,
                delimiter=dialect.separator,
                quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
                skipinitialspace=dialect.blanks,
                strict=True,
            )
            yield (row for row in rows if len(row) > 1 or "".join(row).strip())
    finally:
        csv.field_size_limit(before)


def _first(path: Path, dialect: Dialect) -> list[list[str]]:
    """Return the first rows; none where one of them cannot be read."""
    with contextlib.suppress(csv.Error), rows_of(path, dialect) as rows:
        first = list(itertools.islice(rows, SAMPLE))
        return first if len({len(row) for row in first}) == 1 else []
    return []


def _first_line(path: Path, encoding: str) -> str:
    """Return the first line with anything in it; raises MpqError E-DATA-FORMAT when there is none."""
    with open_unpacked(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        lines = iter(lambda: text.readline(LONGEST_HEADER), "")
        line = next((line for line in lines if line.strip()), "")
    if not line:
        raise DataError(f"{shown(path.name)} is empty.", "Give reviews.")
    return line


def _names(header: str, separator: str) -> tuple[str, ...]:
    """Return the names in a header; none where its quotation marks do not fit the separator."""
    with contextlib.suppress(csv.Error, ValueError):
        (names,) = csv.reader([header], delimiter=separator, skipinitialspace=True, strict=True)
        return tuple(name.strip() for name in names)
    return ()


def _check_header(path: Path, dialect: Dialect, wanted: Wanted) -> None:
    """Refuse a file whose first line is a review."""
    names = dialect.names
    known = wanted.recognised(names)
    if known == 2:
        return
    if not names:
        raise DataError(
            f"{shown(path.name)} has no header, or one whose quotation marks do not match.", NO_HEADER
        )
    rows = _first(path, dialect) or _first(path, replace(dialect, quoted=False))
    columns = zip(*rows, strict=True)
    repeated = any(first.strip() and first in others for first, *others in columns)
    if not known and (repeated or any(map(is_number, names))):
        raise DataError(f"{shown(path.name)}: its first line names no columns.", NO_HEADER)
    if not all(map(is_name, names)):  # perhaps a review, which must not stand in a sentence
        raise DataError(f"{shown(path.name)}: its first line is no header with known names.", NAME_THEM)
    if len(names) == 1:
        raise DataError(
            f"{shown(path.name)} has one column only: {shown(names[0])}.",
            "It needs one with the reviews and one with their labels, with commas, semicolons, tabs or |"
            " between them.",
        )


def _has_blanks(path: Path, dialect: Dialect) -> bool:
    """Return whether the first rows have a blank after every separator, or cannot be read without."""
    return all(field.startswith(" ") for row in _first(path, dialect) for field in row[1:])


def _reads_unquoted(path: Path, dialect: Dialect, wanted: Wanted) -> bool:
    """Return whether quotation marks are signs like any other."""
    labels = [dialect.names.index(name) for name in wanted.label_columns(dialect.names)]
    said, stray = wanted.meanings, False
    with contextlib.suppress(UnicodeError, csv.Error), rows_of(path, dialect) as rows:
        next(rows)
        for row in rows:
            if len(row) != len(dialect.names) or not all(_is_label(row[at], said) for at in labels):
                return False
            stray = stray or any('"' in field and not QUOTED.fullmatch(field) for field in row)
        return stray
    return False


def _is_label(field: str, said: Mapping[str, Meaning]) -> bool:
    """Return whether a field holds a number, a word with a known meaning, or nothing."""
    return not field.strip() or is_number(field) or label_key(field) in said or meaning(field) is not None
