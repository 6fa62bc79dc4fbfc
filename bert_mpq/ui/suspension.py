"""Ctrl-Z while a run works: the display steps aside, and the time away is no time of work."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from bert_mpq.compute.reporting import WorkClock


@contextlib.contextmanager
def suspension_left_out(
    clock: WorkClock, step_aside: Callable[[], None], return_: Callable[[], None]
) -> Iterator[None]:
    """Let Ctrl-Z stop the process as it should, and make ``clock`` stand still until ``fg``.

    Nothing where there is no job control, or outside the main thread.
    """
    if not hasattr(signal, "SIGTSTP") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        step_aside()
        left = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)  # returns when the process is continued
        clock.leave_out(time.monotonic() - left)
        return_()

    before = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
