"""A real pseudo-terminal with a terminal emulator: what the user sees."""

import fcntl
import os
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pexpect
import pexpect.fdpexpect
import pyte

from tests.helpers.forked import started

KEYS = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "enter": "\r",
    "esc": "\x1b",
    "ctrl-c": "\x03",
    "ctrl-d": "\x04",
    "ctrl-u": "\x15",
    "ctrl-z": "\x1a",
}
SIZES = ("COLUMNS", "LINES")  # set by readline, of another terminal


def run_in_terminal(path, arguments, folder, prepare):
    """Run ``bert-mpq`` in a session of its own, with the terminal at ``path`` as its controlling one."""
    from bert_mpq.__main__ import main

    if prepare is not None:
        prepare()
    for name in SIZES:
        os.environ.pop(name, None)
    os.setsid()
    terminal = os.open(path, os.O_RDWR)
    for number in range(3):
        os.dup2(terminal, number)
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = os.fdopen(0, "r", encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=encoding, closefd=False)
    sys.argv = ["bert-mpq", *arguments]
    os.chdir(folder)
    code = main()
    sys.stdout.flush()
    return code


class Forked:
    """``bert-mpq`` in a pseudo-terminal, forked with the libraries imported; used like ``pexpect.spawn``."""

    def __init__(self, arguments, folder, columns, rows, environment, prepare):
        master, self._terminal = os.openpty()
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        name = os.ttyname(self._terminal)
        self._process = started(
            run_in_terminal, name, arguments, str(folder), prepare, environment=environment
        )
        self.pid = self._process.pid
        self._screen = pexpect.fdpexpect.fdspawn(master, timeout=5)
        self.send, self.read_nonblocking = self._screen.send, self._screen.read_nonblocking
        self.exitstatus = self.signalstatus = None

    def isalive(self):
        """Return whether it runs."""
        return self._process.is_alive()

    def kill(self, number):
        """Send a signal."""
        os.kill(self.pid, number)

    def hang_up(self):
        """Take the terminal away; return the exit code."""
        self._leave_terminal()
        self._process.join()
        return self._process.exitcode

    def close(self, force=False):
        """End the program whatever it does; keep its exit code, or the signal that ended it."""
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self.exitstatus, self.signalstatus = (code, None) if code >= 0 else (None, -code)
        self._leave_terminal()

    def _leave_terminal(self):
        if self._terminal is not None:
            os.close(self._terminal)
            self._screen.close()
            self._terminal = None


class Terminal:
    """``bert-mpq`` on an emulated screen.

    It is forked with the libraries imported, after ``prepare``; ``program`` starts an interpreter of its own,
    with the words after ``python``.
    """

    def __init__(self, arguments, folder, columns=80, rows=24, environment=None, prepare=None, program=None):
        self.screen = pyte.HistoryScreen(columns, rows, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        base = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "LC_ALL": "C.UTF-8"}
        base |= environment or {}
        if program is None:
            self._child = Forked(arguments, folder, columns, rows, base, prepare)
            return
        inherited = {name: value for name, value in os.environ.items() if name not in SIZES}
        self._child = pexpect.spawn(
            sys.executable,
            [*program, *arguments],
            cwd=folder,
            dimensions=(rows, columns),
            env={**inherited, **base},
            timeout=5,
        )

    @property
    def text(self):
        """What is on the screen and what has scrolled off it."""
        history = [
            "".join(line[x].data for x in range(self.screen.columns)) for line in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*history, *self.screen.display])

    def wait(self, wanted, seconds=60):
        """Wait until ``wanted`` is on the screen or above it; a live bar never falls silent."""
        deadline = time.monotonic() + seconds
        while wanted not in self.text:
            self._read(0.05)
            if time.monotonic() > deadline:
                raise AssertionError(f"never saw {wanted!r}; the screen:\n{self.text}")
        return self

    def press(self, *keys):
        """Send keys by name, or text."""
        for key in keys:
            self._send(key, 0.3)
            if key == "esc":
                self._read(0.15)  # with the next key it would be Alt and that key
        return self

    def choose(self, title):
        """Move the pointer down to the row that begins with ``title``, and take it."""
        self.wait(title)
        for _ in range(20):
            self._read(0.05)
            if any(line.strip().startswith((f"» {title}", f"> {title}")) for line in self.screen.display):
                return self.press("enter")
            self._send("down", 1.0)
        raise AssertionError(f"cannot reach {title!r}; the screen:\n{self.text}")

    def finish(self, seconds=30):
        """Wait for the end; return the exit code, or minus the number of the signal that ended it."""
        deadline = time.monotonic() + seconds
        while self._child.isalive() and time.monotonic() < deadline:
            self._read(0.1)
        assert not self._child.isalive(), f"still running; the screen:\n{self.text}"
        self._read(0.1)
        self._child.close()
        killed = self._child.signalstatus
        return self._child.exitstatus if killed is None else -killed

    @property
    def stopped(self):
        """Whether the program is stopped, as Ctrl-Z does."""
        state = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def hang_up(self):
        """Take the terminal away, as a lost ssh connection does; return the exit code."""
        return self._child.hang_up()

    def kill(self, number):
        """Send a signal."""
        self._child.kill(number)

    def close(self):
        """End the program whatever it does."""
        if isinstance(self._child, pexpect.spawn) and self._child.isalive():
            self._child.kill(signal.SIGKILL)  # what it does at other signals takes time
            self._child.wait()
        self._child.close(force=True)

    def _send(self, key, seconds):
        """Send a key; wait until the screen has changed, for so long at most."""
        before, deadline = self.text, time.monotonic() + seconds
        self._child.send(KEYS.get(key, key))
        while self.text == before and time.monotonic() < deadline:
            self._read(0.03)

    def _read(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                read = self._child.read_nonblocking(65536, timeout=left)
                self.received += read
                self._stream.feed(read)
            except pexpect.TIMEOUT:
                return
            except pexpect.EOF:
                return
