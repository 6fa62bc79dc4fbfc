"""Token ids on their way into one array: in memory, or in a file once they are many."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from bert_mpq.records.files import disk_errors

MOST_IN_MEMORY = 1 << 26  # token ids: 256 MiB


class TokenStore:
    """Token ids of reviews, added one after another.

    Args:
        most_in_memory: token ids; more of them go to a temporary file, which the system may drop from memory
            at any time and removes when the array is gone.
    """

    def __init__(self, most_in_memory: int = MOST_IN_MEMORY) -> None:
        self._most = most_in_memory
        self._lengths: list[npt.NDArray[np.int64]] = []
        self._waiting: list[npt.NDArray[np.int32]] = []
        self._count = 0  # of those that wait
        self._total = 0
        self._file: IO[bytes] | None = None

    def add(self, reviews: Sequence[npt.NDArray[np.int32]]) -> None:
        """Add the token ids of each review.

        Raises:
            MpqError: E-DISK when the disk with the temporary file is full.
        """
        if not len(reviews):
            return
        self._lengths.append(np.array([len(review) for review in reviews], np.int64))
        self._waiting.append(np.concatenate(reviews))
        self._count += len(self._waiting[-1])
        self._total += len(self._waiting[-1])
        if self._count > self._most:
            self._spill()

    def ids(self) -> npt.NDArray[np.int32]:
        """Return all token ids, (total,)."""
        if self._file is None:
            return np.concatenate([np.empty(0, np.int32), *self._waiting])
        self._spill()
        return np.memmap(self._file, np.int32, "r", shape=(self._total,))

    def offsets(self) -> npt.NDArray[np.int64]:
        """Return where each review begins, and the end: (reviews + 1,)."""
        return np.concatenate([[0], *self._lengths]).cumsum().astype(np.int64)

    def _spill(self) -> None:
        with disk_errors(Path(tempfile.gettempdir())):
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="bert-mpq-")  # noqa: SIM115 (the array keeps it)
            for ids in self._waiting:
                self._file.write(ids.tobytes())
            self._file.flush()
        self._waiting, self._count = [], 0
