"""``bert-mpq help``: every topic, drawn and paged on a terminal only."""

import io
import os
import shutil
import subprocess
import sys

import pytest
from rich.console import Console
from rich.markdown import Markdown

from bert_mpq.ui.commands.help import topics
from tests.helpers.command import call

TOPICS = ("budget", "data", "export", "files", "models", "processes", "quantizers", "scripts", "terminal")
TOPICS += ("training", "trouble")
SIGN = {"PAGER": "sed s/^/paged:/"}


def test_the_topics_are_these():
    assert tuple(topics()) == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_printed_as_it_stands_where_no_terminal_is(tmp_path, topic):
    done = call("help", topic, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, topics()[topic], "")
    assert done.stdout.startswith("# ")


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("topic", TOPICS)
def test_a_narrow_terminal_cuts_nothing_off(topic, columns):
    console = Console(width=columns, file=io.StringIO(), force_terminal=True)
    with console.capture() as drawn:
        console.print(Markdown(topics()[topic]))
    assert "…" not in drawn.get()


def test_without_a_topic_all_are_listed_with_their_titles(tmp_path):
    done = call("help", cwd=tmp_path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(TOPICS)]] == list(TOPICS)
    assert "budget      The best bits for a size" in lines


def test_an_unknown_topic_is_one_sentence(tmp_path):
    done = call("help", "bits", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    sentence, hint = done.stderr.splitlines()
    assert sentence == 'error[E-TOPIC]: There is no help on "bits".'
    assert hint.startswith("hint: The topics are budget, data, export, files,")


def test_a_terminal_shows_the_text_drawn_and_paged(terminal):
    screen = terminal("help", "budget", columns=120, rows=200, environment=SIGN)
    assert screen.finish(60) == 0
    lines = [line for line in screen.text.splitlines() if line]
    assert all(line.startswith("paged:") for line in lines)
    assert "# The best bits" not in screen.text
    assert "Budget (exact, by target size)" in screen.text


def test_a_terminal_that_knows_no_such_characters_shows_the_plain_text(terminal):
    screen = terminal("help", "budget", rows=200, environment={**SIGN, "PYTHONIOENCODING": "ascii"})
    assert screen.finish(60) == 0
    assert "paged:# The best bits for a size" in screen.text


def test_without_a_terminal_no_pager_is_started(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bert_mpq", "help", "budget"],
        env={**os.environ, **SIGN},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == topics()["budget"]


@pytest.mark.skipif(shutil.which("less") is None, reason="needs less")
def test_less_shows_colours_whatever_its_own_settings_are(terminal):
    screen = terminal("help", "trouble", environment={"PAGER": "less", "LESS": "-i"})
    screen.wait("When something is wrong").wait("To look closer")
    assert "ESC[" not in screen.text
    assert screen.press("q").finish() == 0


def test_a_topic_needs_none_of_the_heavy_libraries():
    code = (
        "import sys; from bert_mpq.ui.main import main; main(['help', 'budget']);"
        "print({'torch', 'transformers', 'datasets', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_texts_point_to_no_file_beside_them():
    assert [name for name, text in topics().items() if "](" in text] == []
