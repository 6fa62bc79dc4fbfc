"""SHA256SUMS: what the files of a folder were when it was written, as ``sha256sum -c`` reads it.

A damaged graph can end the process that loads it, so damage is found before anything is loaded.
"""

from pathlib import Path

from bert_mpq.records.files import write_atomic
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources.wheels import sha256

NAME = "SHA256SUMS"
LARGEST = 1 << 16  # bytes
AGAIN = "Copy the whole folder again, or export the model again."


def write_checksums(folder: Path) -> None:
    """Write the checksums of every file that is in the folder; raises MpqError E-READONLY or E-DISK."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_atomic(folder / NAME, "".join(lines))


def check_checksums(folder: Path, *needed: str) -> None:
    """Refuse a folder one of whose files is not what was written.

    Args:
        needed: files that must be among them.

    Raises:
        MpqError: E-NOFILE when there are no checksums; E-MODEL when a file is gone or differs.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{NAME} is larger than any of its kind.", AGAIN)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise MpqError("E-NOFILE", f"No {NAME} in {folder}.", AGAIN) from error
    known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in needed:
        try:
            same = sha256(folder / name) == known.get(name)
        except OSError:
            same = False
        if not same:
            raise ModelError(f"{name} is missing or damaged: its SHA-256 differs.", AGAIN)
