"""In which encoding a text is: what its byte order mark says, else UTF-8."""

import codecs
from pathlib import Path

from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.sources.readers.opening import open_unpacked
from bert_mpq.sources.wording import shown

MARKS = {  # UTF-32 first: its mark begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTF_8 = "utf-8-sig"  # with a byte order mark or without
HEAD = 4_096  # bytes
SAVE_AS = "Save it as UTF-8; if it is from an older Windows program, it is in cp1252."


def text_encoding(path: Path) -> str:
    """Return the encoding of a text file; raises MpqError E-DATA-FORMAT for a file that is no text."""
    with open_unpacked(path) as file:
        head = file.read(HEAD)
    encoding = marked_encoding(head)
    if encoding == UTF_8 and b"\0" in head:
        raise DataError(f"{shown(path.name)} holds zero bytes: it is no text in UTF-8.", "Save it as UTF-8.")
    return encoding


def marked_encoding(head: bytes) -> str:
    """Return the encoding that the first bytes of a text name, else UTF-8."""
    return next((encoding for mark, encoding in MARKS.items() if head.startswith(mark)), UTF_8)


def not_unicode(path: Path, encoding: str) -> MpqError:
    """Return the error for a text file that is not in its encoding, with the line."""
    if encoding != UTF_8:
        return DataError(f"{shown(path.name)} is not in {encoding.upper()}.", SAVE_AS)
    with open_unpacked(path) as file:
        line = next(number for number, each in enumerate(file, 1) if not _decodes(each))
    return DataError(f"{shown(path.name)}, line {line:,} is not in UTF-8.", SAVE_AS)


def _decodes(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
