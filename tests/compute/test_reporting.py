import io
import re
import time

import pytest

from bert_mpq.compute.reporting import Lines, Pace, Silent, WorkClock
from bert_mpq.records.numbers import duration


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (132, "2 min 12 s"),
        (3599.6, "1 h 00 min"),
        (3780, "1 h 03 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("reporter", [Silent(), Lines(io.StringIO())], ids=["silent", "lines"])
def test_tracking_hands_on_every_item_in_order(reporter):
    assert list(reporter.track("abc", "Spell", 3)) == ["a", "b", "c"]


def test_items_are_taken_only_when_they_are_asked_for(stream):
    tracked = Lines(stream).track(iter([1, 1 / 2]), "Work", 2)
    assert next(tracked) == 1
    assert stream.getvalue() == "Work ...\n"


def test_lines_tell_when_a_stage_starts_and_ends(stream):
    list(Lines(stream).track([1], "Evaluate", 1))
    first, last = stream.getvalue().splitlines()
    assert first == "Evaluate ..."
    assert re.fullmatch(r"Evaluate: done in \d\.\d s", last)


def test_progress_is_counted_in_the_weight_of_the_items(stream):
    list(Lines(stream, every=0).track(["aaa", "a"], "Read", 4, len))
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()[1:-1]] == ["Read: 75%"]


def test_progress_is_not_shown_more_often_than_asked(stream):
    list(Lines(stream, every=60).track(range(100), "Read", 100))
    assert len(stream.getvalue().splitlines()) == 2


def test_a_stage_that_fails_is_not_reported_as_done(stream):
    def items():
        yield 1
        raise RuntimeError("CUDA error")

    with pytest.raises(RuntimeError, match="CUDA error"):
        list(Lines(stream).track(items(), "Read", 2))
    assert "done" not in stream.getvalue()


def test_lines_go_to_stderr_by_default(capsys):
    Lines().note("The hub cannot be reached.")
    assert capsys.readouterr() == ("", "The hub cannot be reached.\n")


def test_silence_is_silent(capsys):
    Silent().note("The hub cannot be reached.")
    list(Silent().track([1], "Read", 1))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("done", "elapsed", "expected", "left"),
    [
        (0, 0.0, None, None),
        (0, 4.0, 30.0, 26.0),  # before the first batch: the run before
        (0, 40.0, 30.0, 0.0),
        (1, 4.0, 30.0, 12.0),  # from the first batch on: the rate so far
        (3, 6.0, None, 2.0),
    ],
)
def test_the_time_left(done, elapsed, expected, left):
    assert Pace(done=done, total=4, elapsed=elapsed, expected=expected).left == left


def test_lines_name_the_time_left_before_the_first_item_and_while_one_takes_long(stream):
    lines = Lines(stream, every=0.5, expected={"Read": 60.0})
    for _ in lines.track([1], "Read", 1):
        time.sleep(1.2)
    assert [re.sub(r"\d+ s", "N s", line) for line in stream.getvalue().splitlines()[1:-1]] == [
        "Read: 0%, N s left"
    ]


def test_the_clock_of_work_stands_still_where_it_is_told_to():
    clock = WorkClock()
    start = clock()
    clock.leave_out(1000.0)
    assert -1000.0 <= clock() - start < -999.0
