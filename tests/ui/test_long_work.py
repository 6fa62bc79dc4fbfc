"""Long work in a real terminal: left alone with Ctrl-Z, ended twice with Ctrl-C, or without its terminal."""

import re
import signal
import sys
import time

from bert_mpq.records.reading import list_analyses

LONG = ["--calibration-size", "1000", "--batch-tokens", "64", "--sampling", "random", "--metrics", "cka"]
LONG += ["--quantizer", "rtn", "--max-length", "64", "--yes"]


def tidy_slowly():
    """Make the program take a minute to tidy up."""
    from bert_mpq.compute.checkpoints import Checkpoints

    def tidy(self, *_):
        print("Tidying up", file=sys.stderr)
        time.sleep(60)

    Checkpoints.__exit__ = tidy


def seconds_left(text):
    """What the bar of the comparison says is left."""
    (line,) = [line for line in text.splitlines() if line.startswith("Compare activations")]
    return re.search(r"%\s*(.*)", line)[1]


def test_ctrl_z_stops_and_fg_goes_on_with_the_right_times(terminal, tmp_path, small):
    screen = terminal("sensitivity", *small[:2], *LONG, "--calibration-size", "400", columns=100)
    screen.wait("Compare activations")
    begun = time.monotonic()
    screen.wait(" left").press("ctrl-z")
    deadline = time.monotonic() + 10
    while not screen.stopped and time.monotonic() < deadline:
        time.sleep(0.05)
    assert screen.stopped
    assert b"\x1b[?25h" in screen.received[-200:]  # the shell has its cursor back
    time.sleep(2.5)
    screen.kill(signal.SIGCONT)
    screen.wait("Repeat this run:", 120)
    passed = time.monotonic() - begun
    assert screen.finish() == 0
    bar = [line for line in screen.text.splitlines() if line.startswith("Compare activations")][-1]
    shown = float(re.search(r"([0-9.]+) s$", bar.rstrip())[1])
    (record,) = list_analyses(tmp_path)
    measured = next(stage.seconds for stage in record.result.stages if stage.name == "Compare activations")
    assert abs(measured - shown) < 1.5
    assert measured < passed - 1.5  # without the 2.5 seconds away


def test_the_bar_says_what_the_run_before_took_until_its_first_batch_is_done(tmp_path):
    from bert_mpq.ui.progress import Bars
    from tests.helpers.golden import console, shown

    bars = Bars(console(100), {"Read": 95.0})
    stage = bars.track(iter([1, 2]), "Read", 2)
    next(stage)
    assert "1 min 35 s left" in shown([bars._render()], 100)
    time.sleep(0.1)
    next(stage)
    assert "0.1 s left" in shown([bars._render()], 100)


def test_a_second_ctrl_c_ends_at_once_whatever_is_tidied_up(terminal, small):
    screen = terminal("sensitivity", *small[:2], *LONG, prepare=tidy_slowly)
    screen.wait("Compare activations").press("ctrl-c").wait("Tidying up")
    started = time.monotonic()
    screen.press("ctrl-c")
    assert screen.finish() == -signal.SIGINT
    assert time.monotonic() - started < 5
    assert "Traceback" not in screen.text


def test_a_run_that_loses_its_terminal_ends_without_a_half_written_file(terminal, tmp_path, small):
    screen = terminal("sensitivity", *small[:2], *LONG)
    screen.wait("Compare activations")
    assert screen.hang_up() == 129
    assert not list(tmp_path.glob("Sensitivities/*"))
