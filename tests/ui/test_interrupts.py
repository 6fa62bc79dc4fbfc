"""Ctrl-C at any time after the command starts: exit code 130, one line, no traceback, no file."""

import os
import signal
import subprocess
import sys

import pytest

WORDS = (
    "--model embedded --quantizer rtn --calibration-size 64 --max-length 64 --metrics cka --batch-tokens 64"
)
# Modules in the order in which a run imports them: it is interrupted right after each.
MOMENTS = (
    *("bert_mpq.compute.distributed", "rich.console", "questionary", "bert_mpq.ui.execution"),
    *("bert_mpq.runs.make_plan", "numpy", "torch._C", "torch", "transformers"),
)


def interrupted(folder, ready):
    """Run until ``ready`` is on stderr, interrupt, and return exit code and stderr."""
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
        if ready(line):
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
    code, said = interrupted(tmp_path, lambda line: line.rstrip().endswith(f" {moment}"))
    assert code == 130, said
    assert "Traceback" not in said
    assert "Stopped. No result was written." in said
    assert not list(tmp_path.glob("Sensitivities/*"))


def test_ctrl_c_while_it_runs(tmp_path):
    code, said = interrupted(tmp_path, lambda line: line.startswith("Compare activations"))
    assert code == 130, said
    assert "Traceback" not in said
    assert "Stopped." in said
