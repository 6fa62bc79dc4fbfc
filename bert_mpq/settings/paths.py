"""Paths that a user typed."""

import os
from pathlib import Path

from bert_mpq.settings.errors import MpqError


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
        shown = str(text) if len(str(text)) < 60 else f"{str(text)[:57]}..."
        raise MpqError("E-NOFILE", f"{shown!r} is no path that can be used.", "Check the path.") from error
    return path
