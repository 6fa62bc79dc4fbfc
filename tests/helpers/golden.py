"""Screens as text, compared with the files in ``tests/golden``.

``UPDATE_GOLDEN=1 pytest tests/ui`` writes them anew: read the difference before you commit it.
"""

import io
import os
from pathlib import Path

from rich.console import Console

FOLDER = Path(__file__).parent.parent / "golden"
RUNS = FOLDER / "runs"  # records of real runs: the screens below show what was really measured


def console(width=80, encoding="utf-8"):
    """A console that takes text of ``width`` columns and no colours."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    return Console(
        file=stream,
        width=width,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        _environ={},
    )


def text_of(screen):
    """What was printed on a ``console``."""
    screen.file.flush()
    printed = screen.file.buffer.getvalue().decode(screen.file.encoding)
    return "\n".join(line.rstrip() for line in printed.splitlines()) + "\n"


def check(name, text):
    """Compare ``text`` with the golden file ``name``."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def shown(views, width=80, encoding="utf-8"):
    """Print ``views`` (or what a function of the console returns) and return the text."""
    screen = console(width, encoding)
    for view in views(screen) if callable(views) else views:
        screen.print(view)
    return text_of(screen)
