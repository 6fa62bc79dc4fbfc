"""Token ids on their way into one array: in memory, or in a file once they are many."""

import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

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
        self._lengths = array("q")
        size = max(1, 4 * most_in_memory)
        self._file = tempfile.SpooledTemporaryFile(size, prefix="bert-mpq-")  # noqa: SIM115 (the array keeps it)

    def add(self, reviews: Sequence[npt.NDArray[np.int32]]) -> None:
        """Add the token ids of each review.

        Raises:
            MpqError: E-DISK when the disk with the temporary file is full.
        """
        self._lengths.extend(map(len, reviews))
        with disk_errors(Path(tempfile.gettempdir())):
            for ids in reviews:
                self._file.write(ids.tobytes())

    def ids(self) -> npt.NDArray[np.int32]:
        """Return all token ids, (total,)."""
        total = sum(self._lengths)
        if total > self._most:
            with disk_errors(Path(tempfile.gettempdir())):
                self._file.flush()
            return np.memmap(self._file, np.int32, "r", shape=(total,))
        self._file.seek(0)
        return np.frombuffer(self._file.read(), np.int32)

    def offsets(self) -> npt.NDArray[np.int64]:
        """Return where each review begins, and the end: (reviews + 1,)."""
        return np.concatenate([[0], np.array(self._lengths)]).cumsum().astype(np.int64)
