"""One split of the user's data: its text, its labels, and what the labels mean."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_mpq.compute.reviews import Reviews, StoredTexts
from bert_mpq.settings.errors import DataError
from bert_mpq.settings.label_words import Meaning
from bert_mpq.sources.columns import Wanted, label_columns, several_columns, text_column
from bert_mpq.sources.labels import is_unlabelled, known_meanings, meanings_of
from bert_mpq.sources.readers.text_folders import FILE, FOLDER, TEXT, label_folders, reading_order
from bert_mpq.sources.readers.text_table import texts_of
from bert_mpq.sources.wording import shown


@dataclass(frozen=True, kw_only=True)
class Part:
    """A split that was understood.

    Args:
        split: train, validation, test, another name, or "" where the data has one part only.
        table: Arrow file in the cache.
        columns: names of all columns; for text files in folders, of the folders that are labels.
        text: column of the reviews.
        label: column of the labels; the folder for text files.
        meanings: what each label means.
        counts: rows with each label.
        folders: whether the reviews are text files in folders.
    """

    split: str
    table: Path
    columns: tuple[str, ...]
    text: str
    label: str
    meanings: tuple[tuple[str, Meaning], ...]
    counts: tuple[tuple[str, int], ...]
    folders: bool = False

    def count(self, means: Meaning) -> int:
        """Return how many rows have a label that means so."""
        counts = dict(self.counts)
        return sum(counts[label] for label, meaning in self.meanings if meaning == means)

    def labels(self, means: Meaning) -> list[str]:
        """Return the labels that mean so."""
        found = [label for label, each in self.meanings if each == means]
        return sorted({label.rsplit("/", 1)[-1] if self.folders else label.strip() for label in found})

    def reviews(self) -> Reviews:
        """Return the reviews; their texts stay on disk."""
        import pyarrow
        from datasets import Dataset

        stored, meanings = _opened(self.table), dict(self.meanings)
        labels = _values(stored, self.label)
        order = reading_order(labels, _values(stored, FILE)) if self.folders else range(len(labels))
        rows = [row for row in order if meanings[labels[row]] != "skip"]
        positive = tuple(int(meanings[labels[row]] == "positive") for row in rows)
        texts = Dataset(pyarrow.table({"text": stored.column(self.text)}))  # no copy: still in the file
        return Reviews(texts=StoredTexts(texts, np.array(rows, np.int64)), labels=positive)


def _opened(table: Path) -> Any:
    """Map an Arrow file of the cache into memory."""
    import pyarrow

    return pyarrow.ipc.open_stream(pyarrow.memory_map(str(table))).read_all()


def _values(stored: Any, column: str) -> list[Any]:
    return list(stored.column(column).to_pylist())


def is_labelled(table: Path, folders: bool, wanted: Wanted) -> bool:
    """Return whether a split has labels: not those of a test set that are secret, missing or -1."""
    stored = _opened(table)
    columns = wanted.label_columns(stored.column_names)
    return folders or any(not is_unlabelled(set(_values(stored, name)), wanted) for name in columns)


def understand_part(file: str, split: str, table: Path, folders: bool, wanted: Wanted) -> Part:
    """Decide which columns of a split hold the reviews and their labels, and what the labels mean.

    Args:
        folders: whether the reviews are text files in folders.

    Raises:
        UnclearData: when there are several ways.
        MpqError: E-DATA-FORMAT, E-ONE-CLASS.
    """
    stored = _opened(table)
    if not len(stored):
        raise DataError(f"{file} holds no reviews.", "Give a file with reviews.")
    if folders:
        _check_texts(file, stored, TEXT)
        return _of_folders(file, split, table, Counter(_values(stored, FOLDER)), wanted)
    names = stored.column_names
    text = text_column(file, wanted, names, texts_of(stored.schema))
    _check_texts(file, stored, text)
    label, counts = _label_column(file, wanted, stored, label_columns(file, wanted, names, text))
    if is_unlabelled(counts, wanted):
        raise DataError(f"{file} has no labels: they are missing, or all -1.", "Give reviews with labels.")
    meanings = meanings_of(file, counts, wanted)
    return Part(
        split=split,
        table=table,
        columns=tuple(names),
        text=text,
        label=label,
        meanings=tuple(meanings.items()),
        counts=tuple(counts.items()),
    )


def _check_texts(file: str, stored: Any, column: str) -> None:
    """Refuse an empty review, with its row or its file."""
    from pyarrow import compute

    texts = stored.column(column)
    empty = compute.equal(compute.utf8_length(compute.utf8_trim_whitespace(texts)), 0)
    row = compute.index(compute.fill_null(empty, True), True).as_py()
    if row < 0:
        return
    where = f", row {row + 1:,}"
    if {FOLDER, FILE} <= set(stored.column_names):
        where = f": {shown(stored.column(FOLDER)[row].as_py())}/{shown(stored.column(FILE)[row].as_py())}"
    raise DataError(f"{file}{where}: the text is empty or no text.", "Remove such reviews.")


def _label_column(file: str, wanted: Wanted, stored: Any, columns: list[str]) -> tuple[str, Counter[str]]:
    """Return the column of the labels and how many rows have each; several that say the same are one."""
    counts = {name: Counter(_values(stored, name)) for name in columns}
    labelled = [name for name in columns if not is_unlabelled(counts[name], wanted)] or columns[:1]
    if len(labelled) == 1:
        return labelled[0], counts[labelled[0]]
    known = {
        name: known_meanings([value for value in counts[name] if value is not None], wanted)
        for name in labelled
    }
    readable = [name for name in labelled if len(known[name]) == len(counts[name])]
    meant = {tuple(known[name][value] for value in _values(stored, name)) for name in readable}
    if len(meant) != 1:
        raise several_columns(file, "label", labelled)
    return readable[0], counts[readable[0]]


def _of_folders(file: str, split: str, table: Path, counts: Counter[str], wanted: Wanted) -> Part:
    words = label_folders(counts)
    known = known_meanings(set(words.values()), wanted)
    if not {"negative", "positive"} <= set(known.values()):  # else folders with other names are left out
        found: Counter[str | None] = Counter()
        for folder, word in words.items():
            found[word] += counts[folder]
        known = meanings_of(file, found, wanted)
    return Part(
        split=split,
        table=table,
        columns=tuple(sorted(set(words.values()))),
        text=TEXT,
        label=FOLDER,
        meanings=tuple((folder, known.get(words.get(folder, ""), "skip")) for folder in counts),
        counts=tuple(counts.items()),
        folders=True,
    )
