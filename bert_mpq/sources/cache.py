"""The tool's own cache: what was made once appears there whole, or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bert_mpq.records.files import disk_errors, remove_abandoned

UNDER_WAY = ".making-"  # the beginning of temporary names
HINT = "Set BERT_MPQ_CACHE to a folder that can be written."


@contextlib.contextmanager
def made_at(target: Path) -> Iterator[Path]:
    """Yield the path of a file or a folder to make; once it is made it takes the place of ``target``.

    A folder of another process, which was quicker, stays.

    Raises:
        MpqError: E-READONLY or E-DISK for every OSError.
    """
    with disk_errors(target.parent, "the cache folder ", HINT):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent.glob(f"{UNDER_WAY}*"))
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=UNDER_WAY) as temporary:
            path = Path(temporary, target.name)
            yield path
            for file in path.iterdir() if path.is_dir() else [path]:
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            try:
                os.replace(path, target)
            except OSError:
                if not target.is_dir():
                    raise
