"""Ctrl-C at any time after the command starts: exit code 130, one line, no traceback, no file."""

import os
import signal
import subprocess
import sys
import time

import pexpect
import pytest

from tests.helpers.forked import started

WORDS = (
    "--model embedded --quantizer rtn --calibration-size 64 --max-length 64 --metrics cka --batch-tokens 64"
)
# Modules in the order in which a run imports them: it is interrupted right after each.
MOMENTS = (
    *("bert_mpq.compute.distributed", "rich.console", "bert_mpq.ui.progress", "bert_mpq.ui.execution"),
    *("numpy", "bert_mpq.runs.make_plan", "torch._C", "torch", "transformers"),
)


def interrupted(folder, moment):
    """Run until the module ``moment`` is imported, interrupt, and return exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "bert_mpq", "sensitivity", *WORDS.split(), "--yes"],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.rstrip().endswith(f" {moment}"):
            process.send_signal(signal.SIGINT)
            break
    try:
        rest = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    said = [line for line in [*lines, *rest.splitlines(keepends=True)] if not line.startswith("import time:")]
    return process.returncode, "".join(said)


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_while_the_program_starts(tmp_path, moment):
    code, said = interrupted(tmp_path, moment)
    assert code == 130, said
    assert "Traceback" not in said
    assert "Stopped. No result was written." in said
    assert not list(tmp_path.glob("Sensitivities/*"))


INTERRUPTED = """
from bert_mpq import __main__
from bert_mpq.ui import main

def run(begun):
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130

main.main = run
raise SystemExit(__main__.main())
"""


def test_ctrl_c_while_compiled_text_runs_gives_the_same_exit_code(tmp_path):
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])}
    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, env=environment)
    assert done.returncode == 130


def run_in(folder):
    """Run the command in a folder, as a script."""
    from bert_mpq.__main__ import main

    os.chdir(folder)
    sys.argv = ["bert-mpq", "sensitivity", *WORDS.split(), "--yes"]
    return main()


def test_ctrl_c_while_it_runs(tmp_path):
    errors = tmp_path / "errors"
    process = started(run_in, str(tmp_path), errors=errors)
    while process.is_alive() and "Compare activations" not in (errors.read_text() if errors.exists() else ""):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    said = errors.read_text()
    assert process.exitcode == 130, said
    assert "Traceback" not in said
    assert "Stopped." in said


AT_A_QUESTION = """
import asyncio, os, signal, sys
from prompt_toolkit.application import Application
from bert_mpq.ui.main import main

ask = Application.run_async

async def asked(self, *arguments, **named):
    asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.{name})
    return await ask(self, *arguments, **named)

Application.run_async = asked
sys.exit(main(["--model", "embedded"]))
"""


@pytest.mark.parametrize(("name", "code"), [("SIGHUP", 129), ("SIGTERM", 143)])
def test_a_signal_that_meets_the_event_loop_of_a_question_ends_the_program(tmp_path, name, code):
    """The loop takes what is no SystemExit for an error of a callback, and goes on."""
    terminal = pexpect.spawn(
        sys.executable,
        ["-c", AT_A_QUESTION.format(name=name)],
        cwd=str(tmp_path),
        env=os.environ | {"TERM": "xterm"},
    )
    try:
        terminal.expect(pexpect.EOF, timeout=30)
    finally:
        terminal.close(force=True)
    assert terminal.exitstatus == code
