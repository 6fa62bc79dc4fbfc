"""``bert-mpq`` inside this process: torch is loaded once for all tests."""

import contextlib
import io
import os
import signal
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def call(*arguments, cwd, encoding="utf-8"):
    """Run ``bert-mpq`` with ``arguments`` in ``cwd`` as a script would, without a terminal."""
    from bert_mpq.ui.main import main

    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding, newline="") for _ in range(2))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    folder = os.getcwd()
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                code = main(list(arguments))
            except SystemExit as leave:  # wrong flags, --help, --version
                code = leave.code
    finally:
        os.chdir(folder)
        for number, handler in before.items():
            signal.signal(number, handler)
    return Done(code or 0, *(written(stream) for stream in (stdout, stderr)))


def written(stream):
    """Return what has been written to a stream."""
    stream.seek(0)
    return stream.read()
