"""What a compiled library prints kept off the results."""

import contextlib
import os
import sys
from collections.abc import Iterator

STDOUT = 1


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop what is written to the file descriptor of stdout meanwhile.

    Some releases of HiGHS print a line of their own debugging there (jump-dev/HiGHS.jl issue 312), whatever
    the options say.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    try:
        kept = os.dup(STDOUT)
    except OSError:  # closed: nothing can be printed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), STDOUT)
        yield
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)
