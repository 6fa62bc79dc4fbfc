"""Ctrl-Z while a run works: the display steps aside, and the time away is no time of work."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from bert_mpq.compute.reporting import WorkClock

AT_ONCE = 0.05  # seconds between two handlers that waited for the same call


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

    continued = float("-inf")

    def go_on(number: int, frame: FrameType | None) -> None:
        nonlocal continued
        continued = time.monotonic()

    def stop(number: int, frame: FrameType | None) -> None:
        # Handlers wait for a long call to return, and run in the order of their numbers. Where the rest of
        # the job stopped at once and was continued meanwhile, nobody would continue a process that stops now.
        if time.monotonic() - continued < AT_ONCE:
            return
        step_aside()
        left = clock()
        os.kill(os.getpid(), signal.SIGSTOP)  # returns when the process is continued
        clock.leave_out(clock() - left)
        return_()

    before = signal.signal(signal.SIGTSTP, stop), signal.signal(signal.SIGCONT, go_on)
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGTSTP, signal.SIGCONT), before, strict=True):
            signal.signal(number, handler)
