"""What lies at a path: one table, tables named by split, a saved data set, or text files in label folders."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.settings.label_words import label_key, meaning
from bert_mpq.sources.columns import Wanted
from bert_mpq.sources.readers.columnar import read_columnar, read_saved
from bert_mpq.sources.readers.json_rows import read_json
from bert_mpq.sources.readers.members import members
from bert_mpq.sources.readers.opening import damage, is_archive, table_kind
from bert_mpq.sources.readers.separated import read_separated
from bert_mpq.sources.readers.text_folders import is_review, read_text_folders
from bert_mpq.sources.splits import WHOLE, split_of
from bert_mpq.sources.wording import listed, shown

FORMATS = "Give a CSV, TSV, JSON, Parquet or Arrow file, a folder of them, or text files in pos/ and neg/."
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
NO_DATA = ("dataset_infos.json", *SAVED)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What lies at a path.

    Args:
        path: the user's file or folder.
        kind: how it is read.
        files: those whose contents decide what is read.
        tables: (split, file) of tables.
    """

    path: Path
    kind: Literal["tables", "saved", "texts"]
    files: tuple[Path, ...]
    tables: tuple[tuple[str, Path], ...] = ()


def find_layout(path: Path, wanted: Wanted) -> Layout:
    """Find out what lies at a path, by the names of the files alone.

    Raises:
        MpqError: E-DATA-FORMAT for nothing that is read, and for several data sets.
    """
    with damage(path):
        if not path.is_dir():
            return _file(path)
        found = [member.parts for member in members(path)]
    if (path / SAVED[0]).exists() or all((path / name).exists() for name in SAVED[1:]):
        return Layout(path=path, kind="saved", files=_paths(path, found))
    reviews = list(filter(is_review, found))
    folders = {parts[-2] for parts in reviews}
    known = any(meaning(name) or label_key(name) in wanted.meanings for name in folders)
    tables = [] if known else _tables(path, found)
    if tables:
        by_split = _by_split(path, tables)
        return Layout(path=path, kind="tables", files=tuple(file for _, file in by_split), tables=by_split)
    if not reviews:
        raise _no_data(path, found)
    return Layout(path=path, kind="texts", files=_paths(path, reviews))


def _paths(path: Path, found: Sequence[tuple[str, ...]]) -> tuple[Path, ...]:
    return tuple(path.joinpath(*parts) for parts in sorted(found))


def _tables(path: Path, found: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the tables among files; of text files those named by split, where there are no others."""
    names = [(parts, parts[-1].lower()) for parts in found]
    others = [parts for parts, name in names if not name.endswith(".txt") and name not in NO_DATA]
    tables = [parts for parts in others if table_kind(path.joinpath(*parts)) is not None]
    return tables or [parts for parts, name in names if name.endswith(".txt") and split_of([name])]


def _file(path: Path) -> Layout:
    if not path.is_file():
        raise DataError(f"{shown(path.name)} is neither a file nor a folder.", FORMATS)
    if is_archive(path):
        return Layout(path=path, kind="texts", files=(path,))
    if table_kind(path) is None:
        raise DataError(f"{shown(path.name)} has no name of a kind that is read.", FORMATS)
    return Layout(path=path, kind="tables", files=(path,), tables=((WHOLE, path),))


def _no_data(path: Path, found: Sequence[tuple[str, ...]]) -> MpqError:
    name = shown(path.name)
    if any(parts[-1].lower().endswith(".txt") for parts in found):
        return DataError(
            f"{name} holds text files, but not in folders named after their labels.",
            "Give the folder above, with pos/ and neg/ in it.",
        )
    return DataError(f"{name} holds no data." if found else f"{name} is empty.", FORMATS)


def _by_split(path: Path, tables: list[tuple[str, ...]]) -> tuple[tuple[str, Path], ...]:
    """Return the tables of the one data set in a folder with their splits.

    Raises:
        MpqError: E-DATA-FORMAT when there are several.
    """
    named = [(split_of(parts), parts) for parts in tables]
    if any(split for split, _ in named):
        named = [(split, parts) for split, parts in named if split]
    places = sorted({_without_splits(parts[:-1]) for _, parts in named})
    if len(places) > 1:
        raise DataError(
            f"{shown(path.name)} holds several data sets: {listed(places)}.",
            f"Give one of these folders, such as {shown(path.name)}/{shown(places[-1])}.",
        )
    for split in {split for split, _ in named}:
        names = [parts[-1] for each, parts in named if each == split]
        files = sorted({re.sub(r"\d+", "#", name): name for name in names}.values())  # shards count as one
        if len(files) > 1:
            what = f"the split {split}" if split else "one table"
            raise DataError(
                f"{shown(path.name)} holds several files for {what}: {listed(files)}.",
                "Give one file, or name the files train and test.",
            )
    return tuple((split, path.joinpath(*parts)) for split, parts in sorted(named))


def _without_splits(folders: Sequence[str]) -> str:
    return "/".join(name for name in folders if not split_of([name])) or "."


def read_layout(layout: Layout, wanted: Wanted) -> Iterator[tuple[str, Any]]:
    """Yield what lies at a path as (split, Arrow table of text), the tables of a split with the same columns.

    Raises:
        MpqError: E-DATA-FORMAT.
    """
    if layout.kind == "texts":
        yield from read_text_folders(layout.path)
    elif layout.kind == "saved":
        yield from _saved(layout.path)
    columns: dict[str, list[str]] = {}
    for split, file in layout.tables:
        for table in _table(file, wanted):
            if columns.setdefault(split, table.column_names) != table.column_names:
                raise DataError(
                    f"{shown(file.name)} has other columns than the file before it.",
                    f"That one has {listed(columns[split])}.",
                )
            yield split, table


def _table(file: Path, wanted: Wanted) -> Iterator[Any]:
    kind = table_kind(file)
    if kind == "json" or kind == "lines":
        return read_json(file, kind)
    if kind == "parquet" or kind == "arrow":
        return read_columnar(file, kind)
    return read_separated(file, wanted)


def _saved(path: Path) -> Iterator[tuple[str, Any]]:
    """Read what ``save_to_disk`` wrote."""
    from datasets import DatasetDict, load_from_disk

    try:
        stored = load_from_disk(str(path))
    except Exception as error:  # of the library, which trusts these files: any kind
        raise DataError(
            f"{shown(path.name)} is no readable folder of save_to_disk: a file is missing or damaged.",
            "Copy or save it again.",
        ) from error
    splits = stored if isinstance(stored, DatasetDict) else {WHOLE: stored}
    meant = [split_of([name]) for name in splits]
    for split, (name, table) in zip(meant, splits.items(), strict=True):
        for batch in read_saved(path, table):
            yield split if meant.count(split) == 1 else name, batch
