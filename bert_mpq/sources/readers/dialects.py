"""How a file of separated values is written: encoding, separator, quotation marks, blanks."""

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.label_words import is_number, label_key, meaning
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers.opening import open_unpacked
from bert_mpq.sources.wording import is_name, shown

SEPARATORS = (",", "\t", ";", "|")
MARKS = {  # UTF-32 first: its mark begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTF_8 = "utf-8-sig"  # with a byte order mark or without
HEAD = 4_096  # bytes
LONGEST_HEADER = 1 << 20  # characters
SAMPLE = 20  # rows
ROWS = 10_000  # at a time
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
        MpqError: E-DATA-FORMAT; UnicodeError, ValueError and csv.Error as pandas raises them.
    """
    header = _first_line(path, encoding)
    found = [Dialect(encoding=encoding, separator=sign, names=_names(header, sign)) for sign in SEPARATORS]
    best = max(found, key=lambda each: (wanted.recognised(each.names), len(each.names)))
    _check_header(path, best, wanted)
    unquoted = replace(best, quoted=False)
    if _has_marks(path) and _reads_unquoted(path, unquoted, wanted):
        return unquoted
    return replace(best, blanks=f"{best.separator} " in header and _has_blanks(path, best))


def text_encoding(path: Path) -> str:
    """Return the encoding of a text file: what its byte order mark says, else UTF-8.

    Raises:
        MpqError: E-DATA-FORMAT for a file that is no text.
    """
    with open_unpacked(path) as file:
        head = file.read(HEAD)
    encoding = marked_encoding(head)
    if encoding == UTF_8 and b"\0" in head:
        raise MpqError(
            "E-DATA-FORMAT",
            f"{shown(path.name)} holds zero bytes: it is no text in UTF-8.",
            "Save it as UTF-8.",
        )
    return encoding


def marked_encoding(head: bytes) -> str:
    """Return the encoding that the first bytes of a text name, else UTF-8."""
    return next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), UTF_8)


@contextlib.contextmanager
def rows_of(path: Path, dialect: Dialect, limit: int | None = None) -> Iterator[Iterator[Any]]:
    """Read a file with pandas: frames of text, header included, columns by number; NaN fills short rows.

    Raises:
        MpqError: as ``open_unpacked``; UnicodeError, ValueError and csv.Error while rows are read.
    """
    import pandas

    before = csv.field_size_limit(2**31 - 1)  # of characters: a review may be longer than the default
    try:
        with open_unpacked(path) as file:
            yield pandas.read_csv(
                file,
                engine="python",  # the strict one: it refuses what the other repairs silently
                encoding=dialect.encoding,
                sep=dialect.separator,
                quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
                skipinitialspace=dialect.blanks,
                header=None,
                dtype=str,
                keep_default_na=False,
                na_filter=False,  # the word null is a review like any other
                nrows=limit,
                chunksize=ROWS,
            )
    finally:
        csv.field_size_limit(before)


def _first(path: Path, dialect: Dialect, count: int) -> list[list[str]]:
    """Return the first rows; none where one of them cannot be read."""
    from pandas.errors import ParserError

    with contextlib.suppress(ParserError, csv.Error), rows_of(path, dialect, count) as frames:
        return [[str(value) for value in row] for frame in frames for row in frame.to_numpy()]
    return []


def _first_line(path: Path, encoding: str) -> str:
    """Return the first line with anything in it; raises MpqError E-DATA-FORMAT when there is none."""
    with open_unpacked(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        lines = iter(lambda: text.readline(LONGEST_HEADER), "")
        line = next((line for line in lines if line.strip()), "")
    if not line:
        raise MpqError("E-DATA-FORMAT", f"{shown(path.name)} is empty.", "Give reviews.")
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
        raise MpqError(
            "E-DATA-FORMAT",
            f"{shown(path.name)} has no header, or one whose quotation marks do not match.",
            NO_HEADER,
        )
    rows = _first(path, dialect, SAMPLE) or _first(path, replace(dialect, quoted=False), SAMPLE)
    columns = zip(*rows, strict=True)
    repeated = any(first.strip() and first in others for first, *others in columns)
    if not known and (repeated or any(map(is_number, names))):
        raise MpqError("E-DATA-FORMAT", f"{shown(path.name)}: its first line names no columns.", NO_HEADER)
    if not all(map(is_name, names)):  # perhaps a review, which must not stand in a sentence
        raise MpqError(
            "E-DATA-FORMAT", f"{shown(path.name)}: its first line is no header with known names.", NAME_THEM
        )
    if len(names) == 1:
        raise MpqError(
            "E-DATA-FORMAT",
            f"{shown(path.name)} has one column only: {shown(names[0])}.",
            "It needs one with the reviews and one with their labels, with commas, semicolons, tabs or |"
            " between them.",
        )


def _has_blanks(path: Path, dialect: Dialect) -> bool:
    """Return whether the first rows have a blank after every separator, or cannot be read without."""
    return all(field.startswith(" ") for row in _first(path, dialect, SAMPLE) for field in row[1:])


def _has_marks(path: Path) -> bool:
    with open_unpacked(path) as file:
        return any(b'"' in block for block in iter(lambda: file.read(1 << 20), b""))


def _reads_unquoted(path: Path, dialect: Dialect, wanted: Wanted) -> bool:
    """Return whether quotation marks are signs like any other."""
    labels = [dialect.names.index(name) for name in wanted.label_columns(dialect.names)]
    stray, first = False, True
    with contextlib.suppress(ValueError, csv.Error), rows_of(path, dialect) as frames:
        for frame in frames:
            rows = frame.iloc[1:] if first else frame
            first = False
            if frame.isna().to_numpy().any() or not all(_are_labels(rows[at], wanted) for at in labels):
                return False
            marked = (field for column in rows for field in rows[column] if '"' in field)
            stray = stray or any(QUOTED.fullmatch(field) is None for field in marked)
        return stray
    return False


def _are_labels(column: Any, wanted: Wanted) -> bool:
    """Return whether a column holds nothing but numbers, words with a known meaning, or nothing."""
    known = wanted.meanings
    return all(
        key in known or not key or meaning(key) is not None or key.lstrip("-").replace(".", "", 1).isdigit()
        for key in map(label_key, column.unique())
    )
