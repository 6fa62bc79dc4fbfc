"""What is typed while a run works: kept off the bars, and out of the questions that follow."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def typing_ignored() -> Iterator[None]:
    """Switch the echo of the terminal off meanwhile, and drop at the end what was typed; Ctrl-C still works.

    Nothing where stdin is no terminal, where another program has it, or where there is no termios.
    """
    state = _state()
    if state is None:
        yield
        return
    import termios

    descriptor, before = state
    silent = [*before]
    silent[3] &= ~termios.ECHO  # local modes
    termios.tcsetattr(descriptor, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcflush(descriptor, termios.TCIFLUSH)
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def _state() -> tuple[int, list[Any]] | None:
    try:
        import termios
    except ImportError:
        return None
    try:
        descriptor = sys.stdin.fileno()
        # Changing the terminal from the background would stop the process.
        if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
            return None
        return descriptor, termios.tcgetattr(descriptor)
    except (AttributeError, OSError, ValueError, termios.error):
        return None
