"""Paths: what a user typed, and the folder in which the tool keeps what it made once."""

import os
from pathlib import Path

from bert_mpq.settings.errors import MpqError, excerpt


def user_path(text: str | Path) -> Path:
    """Return ``text`` as a path, ``~`` expanded; it need not exist.

    Raises:
        MpqError: E-NOFILE for what cannot be looked up: an unknown user, a NUL byte, an overlong name, a
            folder that may not be read.
    """
    try:
        path = Path(text).expanduser()
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (RuntimeError, ValueError, OSError) as error:
        shown = excerpt(str(text), 60)
        raise MpqError("E-NOFILE", f"{shown!r} is no path that can be used.", "Check the path.") from error
    return path


def cache_folder() -> Path:
    """Return the tool's own cache folder; it need not exist.

    ``BERT_MPQ_CACHE`` where it is set, else ``bert-mpq`` in ``XDG_CACHE_HOME`` or ``~/.cache``. Whatever is
    in it can be made again: converted weights, joined files.
    """
    named = os.environ.get("BERT_MPQ_CACHE")
    if named:
        return user_path(named)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(home) / "bert-mpq"
