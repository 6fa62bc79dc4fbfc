"""Data files as byte streams: unpacked on the way, and never more than 4 GB of it."""

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.sources.wording import shown

TableKind = Literal["separated", "json", "lines", "parquet", "arrow"]
KINDS: dict[str, TableKind] = {
    ".csv": "separated",
    ".tsv": "separated",
    ".tab": "separated",
    ".txt": "separated",
    ".json": "json",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
ARCHIVES = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".zip")
LARGEST = 4 << 30  # bytes unpacked
# What a damaged or cut-off file makes the unpackers raise.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)
LFS_POINTER = b"version https://git-lfs"


class Limited(io.RawIOBase):
    """A stream that ends with an error when it is too long: a small file can unpack to petabytes.

    Args:
        stream: unpacks.
        name: of the file, for the sentence.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name
        self._left = LARGEST

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Read into ``buffer``; return how many bytes.

        Raises:
            MpqError: E-DATA-FORMAT once it is more than ``LARGEST``.
        """
        content = self._stream.read(len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise too_large(self._name)
        buffer[: len(content)] = content
        return len(content)


def too_large(name: str) -> MpqError:
    """Return the error for more than ``LARGEST`` bytes."""
    return DataError(
        f"{shown(name)} holds more than {LARGEST >> 30} GB unpacked.",
        "Unpack it, if you trust it, and give what is in it.",
    )


def table_kind(path: Path) -> TableKind | None:
    """Return what kind of table a file is by its name, for a .zip by that of its only file; None for none."""
    if path.suffix.lower() != ".zip":
        inner = path.stem if path.suffix.lower() in COMPRESSED else path.name
        return KINDS.get(Path(inner).suffix.lower())
    with contextlib.suppress(OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        with zipfile.ZipFile(path) as archive:
            table = _only_table(archive)
        return KINDS[Path(table).suffix.lower()] if table else None
    return None


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive of several files by its name."""
    return path.name.lower().endswith(ARCHIVES) and table_kind(path) is None


def stem(path: Path) -> str:
    """Return a name without what says how the file is written and packed."""
    name = path.name
    known = (*COMPRESSED, *ARCHIVES, *KINDS)
    while not path.is_dir() and Path(name).suffix.lower() in known:
        name = Path(name).stem
    return name


def _only_table(archive: zipfile.ZipFile) -> str:
    """Return the name of the only file of an archive when it is a table, else ""."""
    files = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    files = [name for name in files if not name.startswith("__MACOSX/")]
    return files[0] if len(files) == 1 and Path(files[0]).suffix.lower() in KINDS else ""


@contextlib.contextmanager
def open_unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading, unpacked where its first bytes say that it is packed, whatever its name is.

    Raises:
        MpqError: E-DATA-FORMAT, also while it is read: damaged, too long, or not the data at all.
    """
    with damage(path), path.open("rb") as file:
        head = file.peek(len(LFS_POINTER))
        if head.startswith(LFS_POINTER):
            raise DataError(
                f"{shown(path.name)} is a pointer of Git LFS, not the data.",
                "Run git lfs pull in its folder.",
            )
        stream = _unpacked(path, file, head)
        if stream is None:
            yield file
            return
        with stream:
            yield io.BufferedReader(Limited(stream, path.name))


def _unpacked(path: Path, file: IO[bytes], head: bytes) -> IO[bytes] | None:
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return bz2.BZ2File(file)
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMAFile(file)
    if not head.startswith(b"PK\x03\x04"):
        return None
    archive = zipfile.ZipFile(file)
    table = _only_table(archive)
    if not table:
        raise DataError(
            f"{shown(path.name)} is an archive or a workbook, not one table.",
            "Save the table as CSV, or unpack the archive.",
        )
    return open_member(archive, table, path)


def open_member(archive: zipfile.ZipFile, name: str, path: Path) -> IO[bytes]:
    """Open a file in a .zip; raises MpqError E-DATA-FORMAT when it is encrypted, or compressed as few do."""
    try:
        return archive.open(name)
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{shown(path.name)} is encrypted, or compressed in a way that is not read.",
            "Unpack it, and give what is in it.",
        ) from error


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Say in plain words that a file cannot be opened or unpacked; raises MpqError E-DATA-FORMAT."""
    try:
        yield
    except DAMAGED as error:
        raise _damaged(path) from error
    except OSError as error:
        if error.strerror is None:  # gzip and bz2 have no reason of the system
            raise _damaged(path) from error
        reason = error.strerror.lower()
        raise DataError(
            f"{shown(path.name)} cannot be opened: {reason}.", "Check its permissions."
        ) from error


def _damaged(path: Path) -> MpqError:
    return DataError(
        f"{shown(path.name)} cannot be unpacked: it is damaged or cut off.", "Download it again."
    )
