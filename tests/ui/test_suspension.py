"""Ctrl-Z that is looked at late: the process must not stop when nobody is left to continue it."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")

# ``sum`` looks at no signal until it returns, as a long matrix product.
WORK = """
from bert_mpq.compute.reporting import WorkClock
from bert_mpq.ui.suspension import suspension_left_out

with suspension_left_out(WorkClock()):
    print("working", flush=True)
    sum(range({count}))
    for _ in range(1000):
        pass
print("done", flush=True)
"""


def state(process):
    """The letter of /proc: T where it is stopped."""
    with open(f"/proc/{process.pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def begun(count):
    process = subprocess.Popen(
        [sys.executable, "-c", WORK.format(count=count)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "working\n"
    time.sleep(0.1)
    return process


def test_a_stop_that_was_taken_back_before_it_was_seen_stops_nothing():
    process = begun(150_000_000)
    os.kill(process.pid, signal.SIGTSTP)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGCONT)
    try:
        assert process.communicate(timeout=60)[0] == "done\n"
    finally:
        process.kill()


def test_a_stop_stops_and_is_taken_back():
    process = begun(20_000_000)
    os.kill(process.pid, signal.SIGTSTP)
    try:
        deadline = time.monotonic() + 30
        while state(process) != "T" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert state(process) == "T"
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60)[0] == "done\n"
    finally:
        process.kill()
