"""Reviews as text files in folders named after their labels, as aclImdb has them: train/pos/0_9.txt."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.readers.encodings import SAVE_AS, marked_encoding
from bert_mpq.sources.readers.members import Member, members
from bert_mpq.sources.readers.text_table import text_table
from bert_mpq.sources.splits import split_of
from bert_mpq.sources.wording import shown

TEXT, FOLDER, FILE = "text", "folder", "file"
UNLABELLED = ("unsup", "unsupervised")
ROWS = 1_000  # at a time


def is_review(parts: Sequence[str]) -> bool:
    """Return whether a file is a text file in a folder that can name a label."""
    if len(parts) < 2 or not parts[-1].lower().endswith(".txt"):
        return False
    folder = parts[-2].lower()
    return folder not in UNLABELLED and not split_of([folder])


def read_text_folders(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the reviews below a folder or in an archive as (split, Arrow table of text, folder and file).

    Raises:
        MpqError: E-DATA-FORMAT.
    """
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for member in members(path):
        if not is_review(member.parts):
            continue
        split = split_of(member.parts[:-2])
        part = rows.setdefault(split, [])
        part.append((_text(path, member), _name("/".join(member.parts[:-1])), _name(member.parts[-1])))
        if len(part) == ROWS:
            yield split, _table(rows.pop(split))
    yield from ((split, _table(part)) for split, part in rows.items())


def _text(path: Path, member: Member) -> str:
    content = member.read()
    try:
        return content.decode(marked_encoding(content))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown(path.name)}: {shown('/'.join(member.parts))} is not in UTF-8.", SAVE_AS
        ) from error


def _table(rows: Iterable[tuple[str, str, str]]) -> Any:
    texts, folders, files = zip(*rows, strict=True)
    return text_table({TEXT: texts, FOLDER: folders, FILE: files}, [TEXT])


def _name(name: str) -> str:
    """Return a file's name as text: the bytes of one from an older system may be none."""
    return name.encode("utf-8", "backslashreplace").decode()


def reading_order(folders: Sequence[str], files: Sequence[str]) -> list[int]:
    """Return the rows in the order of their file names, 2_7.txt before 10_3.txt.

    An archive has its files in any order, and the same reviews must make the same sample.
    """
    keys = []
    for folder, file in zip(folders, files, strict=True):
        words = re.split(r"(\d+)", file)
        numbers = [int(number) for number in words[1::2]]
        keys.append((words[0], list(zip(numbers, words[2::2], strict=True)), folder))
    return sorted(range(len(keys)), key=keys.__getitem__)


def label_folders(folders: Iterable[str]) -> dict[str, str]:
    """Return the folders that hold no other folder of reviews, and the names that are their labels."""
    found = set(folders)
    above = {folder[:at] for folder in found for at, sign in enumerate(folder) if sign == "/"}
    return {folder: folder.rsplit("/", 1)[-1] for folder in sorted(found - above)}
