"""``help`` and ``completion``: the texts of ``bert_mpq/ui/help`` by topic, and what a shell has to know."""

import argparse
import importlib.resources
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from rich.console import Console

    from bert_mpq.ui.execution import Execution

WIDEST = 100  # columns; longer lines are hard to read


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A help page; its text is Markdown, "" where only the list was asked for."""

    name: str
    title: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The topic that was asked for, or all there are."""

    topics: tuple[Topic, ...]


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a shell has to know."""

    shell: str
    script: str


def topics() -> dict[str, str]:
    """Return the Markdown text of every topic by name, in the order of the alphabet."""
    files = importlib.resources.files("bert_mpq.ui").joinpath("help").iterdir()
    texts = {file.name.removesuffix(".md"): file for file in files if file.name.endswith(".md")}
    return {name: texts[name].read_text("utf-8") for name in sorted(texts)}


def _add_topic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="a word of the list that help alone prints")


def _help(namespace: argparse.Namespace, execution: "Execution") -> Topics:
    texts = topics()
    titles = {name: text.splitlines()[0].removeprefix("# ") for name, text in texts.items()}
    if namespace.topic is None:
        widest = max(map(len, texts))
        for name, title in titles.items():
            execution.output.print(f"{name:{widest}}  {title}", markup=False)
        more = "bert-mpq help TOPIC prints one; bert-mpq COMMAND --help lists the settings of a command."
        execution.output.print(more, soft_wrap=True)
        return Topics(topics=tuple(Topic(name=name, title=title) for name, title in titles.items()))
    if namespace.topic not in texts:
        raise UsageError(
            "E-TOPIC",
            f'There is no help on "{namespace.topic}".',
            f"The topics are {', '.join(texts)}; bert-mpq COMMAND --help lists the settings of a command.",
        )
    from bert_mpq.ui.console import is_live

    name, text = namespace.topic, texts[namespace.topic]
    if is_live(execution.output) and not execution.output.quiet:
        _page(text, execution.output)
    else:
        execution.write(text)
    return Topics(topics=(Topic(name=name, title=titles[name], text=text),))


def _page(text: str, output: "Console") -> None:
    """Show a text on a terminal, drawn and paged."""
    from rich.markdown import Markdown

    from bert_mpq.ui.console import is_utf8

    # less: colours are shown, and a text that fits the screen stays on it.
    os.environ["LESS"] = f"{os.environ.get('LESS', '-FX')} -R"
    with output.pager(styles=True):
        drawn = Markdown(text, code_theme="ansi_dark") if is_utf8(output) else text
        output.print(drawn, width=min(output.width, WIDEST), markup=False)


def _add_shell(parser: argparse.ArgumentParser) -> None:
    shells = ("bash", "zsh", "tcsh")
    parser.add_argument("shell", choices=shells, help='bash: eval "$(bert-mpq completion bash)"')


def _complete(namespace: argparse.Namespace, execution: "Execution") -> Script:
    try:
        import shtab
    except ImportError as error:
        raise MpqError(
            "E-EXTRA", "Shell completion needs shtab.", "pip install 'bert-mpq[completion]' brings it."
        ) from error
    from bert_mpq.ui.commands.parser import build_parser

    script = str(shtab.complete(build_parser(), shell=namespace.shell))
    execution.write(f"{script}\n")
    return Script(shell=namespace.shell, script=script)


HELP = Command(
    name="help",
    help="what the settings mean, by topic: budgets, quantizers, files, trouble and more",
    add_flags=_add_topic,
    run=_help,
    result="bert_mpq.ui.commands.help:Topics",
)
COMPLETION = Command(
    name="completion",
    help="print the completion script of a shell",
    add_flags=_add_shell,
    run=_complete,
    result="bert_mpq.ui.commands.help:Script",
)
