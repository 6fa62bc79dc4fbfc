"""``help``: what the settings mean, by topic; the texts are the Markdown files of ``bert_mpq/ui/help``."""

import argparse
import importlib.resources
import os
from typing import TYPE_CHECKING

from bert_mpq.settings.errors import UsageError
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from rich.console import Console

    from bert_mpq.ui.execution import Execution

WIDEST = 100  # columns; longer lines are hard to read


def topics() -> dict[str, str]:
    """Return the Markdown text of every topic by name, in the order of the alphabet."""
    files = importlib.resources.files("bert_mpq.ui").joinpath("help").iterdir()
    texts = {file.name.removesuffix(".md"): file for file in files if file.name.endswith(".md")}
    return {name: texts[name].read_text("utf-8") for name in sorted(texts)}


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="a word of the list that help alone prints")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    texts = topics()
    if namespace.topic is None:
        _list(texts, execution.output)
        return
    if namespace.topic not in texts:
        raise UsageError(
            "E-TOPIC",
            f'There is no help on "{namespace.topic}".',
            f"The topics are {', '.join(texts)}; bert-mpq COMMAND --help lists the settings of a command.",
        )
    _show(texts[namespace.topic], execution.output)


def _list(texts: dict[str, str], output: "Console") -> None:
    """Print the topics with their titles, the first lines of the texts."""
    widest = max(map(len, texts))
    for name, text in texts.items():
        output.print(f"{name:{widest}}  {text.splitlines()[0].removeprefix('# ')}", markup=False)
    output.print(
        "bert-mpq help TOPIC prints one; bert-mpq COMMAND --help lists the settings of a command.",
        soft_wrap=True,
    )


def _show(text: str, output: "Console") -> None:
    """Print a text: drawn and paged on a terminal, elsewhere as it stands in its file."""
    from bert_mpq.ui.console import is_utf8

    if not output.is_terminal:
        print(text, end="")
        return
    from rich.markdown import Markdown

    # less: colours are shown, and a text that fits the screen stays on it.
    os.environ["LESS"] = f"{os.environ.get('LESS', '-FX')} -R"
    with output.pager(styles=True):
        drawn = Markdown(text, code_theme="ansi_dark") if is_utf8(output) else text
        output.print(drawn, width=min(output.width, WIDEST), markup=False)


HELP = Command(
    name="help",
    help="what the settings mean, by topic: budgets, quantizers, files, trouble and more",
    add_flags=_add_flags,
    run=_run,
)
