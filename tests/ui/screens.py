"""The screens in the README, from the records of real runs in ``tests/golden/runs``.

``python -m tests.ui.screens`` writes them anew: SVG images, and the blocks of text in README.md.
"""

import io
import re
import shutil
import tempfile
from pathlib import Path

from rich.console import Console

from bert_mpq.records.reading import read_analysis, read_evaluation
from bert_mpq.runs.compare import compare
from bert_mpq.ui.views.comparison import comparison_views
from bert_mpq.ui.views.evaluation import evaluation_views
from bert_mpq.ui.views.sensitivity import sensitivity_views
from tests.helpers.golden import FOLDER, RUNS, shown
from tests.helpers.terminal import Terminal

README = Path(__file__).parent.parent.parent / "README.md"
IMAGES = FOLDER / "screens"
COMMAND = "python -m tests.ui.screens"


def views(console):
    """The views of each image, by name."""
    analysis = read_analysis(min(RUNS.glob("run_*.json"))).result
    evaluation = read_evaluation(min(RUNS.glob("eval_*.json"))).result
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(RUNS, Path(folder, "Evaluation"))
        comparison = compare(folder)
    return {
        "sensitivity": sensitivity_views(analysis, console),
        "evaluation": evaluation_views(evaluation),
        "comparison": comparison_views(comparison, console),
    }


def texts():
    """The text of each image, by name."""
    return {name: shown(lambda console, name=name: views(console)[name]) for name in views(Console(width=80))}


def image(name):
    """The SVG of an image."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, highlight=False)
    for view in views(console)[name]:
        console.print(view)
    return console.export_svg(title=f"bert-mpq: {name}")


def menu():
    """The first screen in an empty folder, as a terminal of 80 columns shows it."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": folder, "CUDA_VISIBLE_DEVICES": "-1"}
        screen = Terminal([], folder, environment=quiet)
        try:
            return screen.wait("Description: Score").text.strip() + "\n"
        finally:
            screen.close()


def with_block(readme, name, text):
    """Return ``readme`` with the block of text after ``<!-- screen: name -->`` replaced."""
    pattern = rf"(<!-- screen: {name} -->\n```\n).*?(```)"
    assert re.search(pattern, readme, flags=re.DOTALL), f"README.md has no screen {name}"
    return re.sub(pattern, lambda match: match[1] + text + match[2], readme, flags=re.DOTALL)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for title, text in texts().items():
        (IMAGES / f"{title}.txt").write_text(text, encoding="utf-8")
        (IMAGES / f"{title}.svg").write_text(image(title), encoding="utf-8")
    README.write_text(with_block(README.read_text("utf-8"), "menu", menu()), "utf-8")
