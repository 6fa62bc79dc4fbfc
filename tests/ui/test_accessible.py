"""Everything in plain lines: for screen readers, and for terminals that move no cursor."""

import re

import pytest

from bert_mpq.records.reading import read_analysis
from bert_mpq.ui.views.sensitivity import sensitivity_views
from bert_mpq.ui.views.tables import Pairs, plain_table
from tests.helpers.golden import RUNS, shown

FLAGS = ["--quantizer", "rtn", "--sampling", "random"]
WAYS = {"dumb": ([], {"TERM": "dumb"}), "flag": (["--accessible"], {})}


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_run_in_plain_lines(terminal, small, review_file, way):
    words, environment = WAYS[way]
    data = ["--data", review_file.name]
    screen = terminal(*small, *data, *FLAGS, *words, columns=120, rows=60, environment=environment)

    def say(*lines):
        for line in lines:
            screen.press(line, "enter")

    screen.wait("Number from 1 to 6, Enter for 1:")
    say("2")
    screen.wait("Phase 2: Quantization & Evaluation cannot be chosen: no sensitivity file yet.")
    say("3")
    screen.wait("Step 1 of 6  Calibration set size:").wait("7. Back")
    say("9", "6", "b", "6", "48")
    screen.wait("Type a number from 1 to 7.").wait("Step 2 of 6  Similarity metrics:").wait("6. All three")
    say("7", "", "", "4")
    screen.wait("Calibration set size (up to 100) (b goes back, Enter for 48):")
    screen.wait("Step 3 of 6  Evaluation set size:")
    say("5", "32")
    screen.wait("Step 4 of 6  Clustering strategy:")
    say("", "")
    screen.wait("Step 6 of 6  Bit precision assignment:").wait("Custom (specify manually)")
    say("3", "16,8", "16,8,4")
    screen.wait("3 groups need 3 numbers, you gave 2.").wait("bits a weight; model")
    screen.wait("Start now? (y or n, b goes back, Enter for y):")
    say("perhaps")
    screen.wait("Type y or n.")
    say("")
    screen.wait("Compare activations: done in", 120).wait("Rank 1; Layer layer_")
    screen.wait("Accuracy; FP32 0.").wait("What next?", 60).wait(". Export the quantized model")
    say("1")
    screen.wait("4. Compare results. ")
    say("4")
    screen.wait("*; Bits 16/8/4; Accuracy 0.").wait("Enter for 4:")
    say("6")
    assert screen.finish() == 0
    assert b"\x1b" not in re.sub(rb"\x1b\[[0-9;]*m", b"", screen.received)  # colours, but nothing is redrawn
    assert not {*screen.text} & {*"█░─│╭╰━»"}


def test_ctrl_d_leaves(terminal):
    screen = terminal(environment={"TERM": "dumb"}).wait("Enter for 1:").press("ctrl-d")
    assert screen.finish() == 130
    assert "Stopped. No result was written." in screen.text


def test_tables_are_lines_in_which_every_cell_follows_its_heading(monkeypatch):
    table = plain_table("Layer", "Bits", "Size", left=("Layer",))
    table.add_row("layer_0", "16", "")
    monkeypatch.setenv("ACCESSIBLE", "0")
    assert "───" in shown([table])
    monkeypatch.setenv("ACCESSIBLE", "1")
    assert shown([table]) == "Layer layer_0; Bits 16\n"
    assert shown([Pairs([("Device", "cpu"), ("", "2 cores")])]) == "Device: cpu\n2 cores\n"


def test_scores_are_told_without_bars(monkeypatch):
    monkeypatch.setenv("ACCESSIBLE", "1")
    result = read_analysis(min(RUNS.glob("run_*.json"))).result
    text = shown(lambda console: sensitivity_views(result, console), width=120)
    assert "Rank 1; Layer layer_" in text
    assert not {*text} & {*"█░─"}
