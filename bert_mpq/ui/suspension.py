"""Ctrl-Z while a run works: the display steps aside, and the time away is no time of work."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from bert_mpq.compute.reporting import WorkClock


def _nothing() -> None:
    """Have no display that is in the way."""


@contextlib.contextmanager
def suspension_left_out(
    clock: WorkClock, step_aside: Callable[[], None] = _nothing, return_: Callable[[], None] = _nothing
) -> Iterator[None]:
    """Let Ctrl-Z stop the process as it should, and make ``clock`` stand still until ``fg``.

    Nothing where there is no job control, or outside the main thread.
    """
    if not hasattr(signal, "SIGTSTP") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        step_aside()
        left = clock()
        os.kill(os.getpid(), signal.SIGSTOP)  # returns when the process is continued
        clock.leave_out(clock() - left)
        return_()

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
