"""The files of a folder or of an archive, one after another; nothing is ever extracted."""

import functools
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.readers.opening import LARGEST, damage, open_member, open_unpacked, too_large
from bert_mpq.sources.wording import shown

LONGEST_NAME = 1 << 20  # bytes
SAFE = "Unpack it in a place of its own, if you trust it, and give the folder."


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file.

    Args:
        parts: folders and name, from the top of the folder or archive.
        read: returns its content; only until the next member.
    """

    parts: tuple[str, ...]
    read: Callable[[], bytes]


def members(path: Path) -> Iterator[Member]:
    """Yield the files below a folder, or in an archive; what is hidden is left out.

    Raises:
        MpqError: E-DATA-FORMAT for a damaged archive, and one that holds links, names outside of itself or
            more than 4 GB.
    """
    reader = _of_folder if path.is_dir() else _of_zip if path.suffix.lower() == ".zip" else _of_tar
    with damage(path):
        for member in reader(path):
            if not any(part.startswith(".") or part == "__MACOSX" for part in member.parts):
                yield Member(parts=member.parts, read=functools.partial(_read, path, member))


def _read(path: Path, member: Member) -> bytes:
    with damage(path):
        return member.read()


def _of_folder(folder: Path) -> Iterator[Member]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # by a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        above = Path(place).relative_to(folder).parts
        for name in sorted(files):
            file = os.path.join(place, name)
            if os.path.exists(file) and not os.path.isfile(file):
                continue  # a pipe or a device, from which reading may never end
            yield Member(parts=(*above, name), read=Path(file).read_bytes)


def _of_tar(path: Path) -> Iterator[Member]:
    with open_unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        left = LARGEST
        for entry in archive:
            parts = _checked(path, entry.name, link=not (entry.isreg() or entry.isdir()))
            left -= entry.size
            if left < 0:
                raise too_large(path.name)
            file = archive.extractfile(entry) if entry.isreg() else None  # a stream: nothing is extracted
            if file is not None:
                yield Member(parts=parts, read=file.read)
        while stream.read(1 << 20):  # to the check sum at the end
            pass


class _Header(tarfile.TarInfo):
    """A header that tells a damaged archive from one that is over, and is no bomb itself."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Header":
        """Read the next header; raises ReadError where tarfile would silently stop."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("damaged") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Read a header; long names and comments, which tarfile reads at once, are of a decent length."""
        header = super().frombuf(buf, encoding, errors)
        if header.type not in tarfile.REGULAR_TYPES and header.size > LONGEST_NAME:
            raise tarfile.ReadError("damaged")
        return header


def _of_zip(path: Path) -> Iterator[Member]:
    left = LARGEST
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            parts = _checked(path, entry.filename, link=stat.S_ISLNK(entry.external_attr >> 16))
            left -= entry.file_size
            if left < 0:
                raise too_large(path.name)
            if not entry.is_dir():
                yield Member(parts=parts, read=functools.partial(_read_entry, path, archive, entry))


def _read_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Read a file of a .zip, and no more of it than its directory says."""
    with open_member(archive, entry.filename, path) as file:
        return file.read(entry.file_size)


def _checked(path: Path, name: str, link: bool) -> tuple[str, ...]:
    """Return the parts of a name in an archive.

    Raises:
        MpqError: E-DATA-FORMAT for a link or a device, and for a name outside of the archive.
    """
    file = shown(path.name)
    if link:
        raise DataError(f"{file} holds a link or a device: {shown(name)}.", SAFE)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or name.startswith(("/", "\\")) or (parts and parts[0].endswith(":")):
        raise DataError(f"{file} holds a name outside of itself: {shown(name)}.", SAFE)
    return parts
