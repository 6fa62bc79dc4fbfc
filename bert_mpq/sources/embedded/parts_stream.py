"""Several files read as one."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PartsStream(io.RawIOBase):
    """The bytes of several files, one after the other, as one seekable file; nothing is joined on the disk.

    Raises:
        OSError: a part cannot be opened.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._files = [path.open("rb") for path in paths]
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self._ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the start, the position or the end; return the new position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._ends[-1]}[whence]
        if origin + offset < 0:
            raise ValueError("negative position")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill ``buffer`` from the current part; return how many bytes, 0 at the end."""
        view = memoryview(buffer)  # a slice of a bytearray would be a copy
        for file, end in zip(self._files, self._ends, strict=True):
            if self._position < end:
                file.seek(self._position - end, os.SEEK_END)
                count = file.readinto(view[: end - self._position])
                self._position += count
                return count
        return 0

    def close(self) -> None:
        """Close every part."""
        for file in self._files:
            file.close()
        super().close()
