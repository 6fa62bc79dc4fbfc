"""Texts that stay on disk: a column of a memory-mapped Arrow table, read a few hundred rows at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

ROWS = 512  # read at a time


class StoredTexts(Sequence[str]):
    """The texts of a ``datasets.Dataset``, or some of them in any order; a sequence of 8 bytes a text.

    Args:
        table: has a column ``text``.
        rows: (n,) rows of the table; default all.
    """

    def __init__(self, table: Any, rows: npt.NDArray[np.int64] | None = None) -> None:
        self._table = table
        self._rows = np.arange(len(table)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Read one text, or those of a slice as a list."""
        if isinstance(index, slice):
            return self._read(self._rows[index])
        return self._read(self._rows[index : index + 1 or None])[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), ROWS):
            yield from self._read(self._rows[start : start + ROWS])

    def take(self, indices: npt.ArrayLike) -> "StoredTexts":
        """Return the texts at ``indices``, in that order, still on disk."""
        return StoredTexts(self._table, self._rows[np.asarray(indices, np.int64)])

    def _read(self, rows: npt.NDArray[np.int64]) -> list[str]:
        return list(self._table[rows.tolist()]["text"]) if len(rows) else []


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """Texts, in memory or on disk, and labels (0 negative, 1 positive)."""

    texts: Sequence[str]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "Reviews":
        """Return the reviews at ``indices``, in that order; texts on disk stay there."""
        texts = (
            self.texts.take(indices)
            if isinstance(self.texts, StoredTexts)
            else tuple(self.texts[index] for index in indices)
        )
        return Reviews(texts=texts, labels=tuple(self.labels[i] for i in indices))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over texts and labels in order: the same sample has the same fingerprint everywhere."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(f"{label} {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}\n".encode())
        return digest.hexdigest()
