"""Ctrl-Z while a run works: the display steps aside, and the time away is no time of work."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from bert_mpq.compute.reporting import WorkClock

MOST = 1 << 16  # signals to look back on


def _nothing() -> None:
    """Have no display that is in the way."""


def _without_terminal(step_aside: Callable[[], None]) -> None:
    """Step aside though the shell may have the terminal already: to change it would stop the process here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
    step_aside()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})


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

    arrivals, arrived = os.pipe()
    for end in (arrivals, arrived):
        os.set_blocking(end, False)

    def stop(number: int, frame: FrameType | None) -> None:
        _without_terminal(step_aside)
        # This runs when a long call has returned. Where the rest of the job stopped at once and was continued
        # meanwhile, nobody would continue a process that stops now.
        with contextlib.suppress(BlockingIOError):
            order = os.read(arrivals, MOST)
            if order.rfind(signal.SIGCONT) > order.rfind(signal.SIGTSTP):
                return_()
                return
        left = clock()
        os.kill(os.getpid(), signal.SIGSTOP)  # returns when the process is continued
        clock.leave_out(clock() - left)
        return_()

    wakeup = signal.set_wakeup_fd(arrived, warn_on_full_buffer=False)
    before = signal.signal(signal.SIGTSTP, stop), signal.signal(signal.SIGCONT, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGTSTP, signal.SIGCONT), before, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        for end in (arrivals, arrived):
            os.close(end)
