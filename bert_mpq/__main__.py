"""``bert-mpq``, also as ``python -m bert_mpq``: Ctrl-C is answered before anything slow is imported."""

import gc
import os
import signal
import sys
import threading
import time
from types import FrameType

BEGUN = time.perf_counter()


def main() -> int:
    """Run the command line and return the exit code."""
    own = threading.current_thread() is threading.main_thread()
    if own:
        signal.signal(signal.SIGINT, _stop)
    from bert_mpq.ui.main import main as run

    code = run(begun=BEGUN)
    gc.freeze()  # the system takes the memory back sooner than a last look for garbage is done
    # ``python -m`` ends by SIGINT, whatever our exit code is, if Ctrl-C came while compiled text was running
    # (which makes dataclasses): to run other text makes it forget that.
    exec("")
    if own:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over: what is left is to tidy up
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    # At once: a library that is being imported may swallow an exception, and nothing has been written yet.
    os.write(2, b"Stopped. No result was written.\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
