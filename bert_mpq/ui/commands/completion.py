"""``completion``: the script that lets a shell complete commands and flags."""

import argparse
from typing import TYPE_CHECKING

from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution

SHELLS = ("bash", "zsh", "tcsh")


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help='bash: eval "$(bert-mpq completion bash)"')


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    try:
        import shtab
    except ImportError as error:
        raise MpqError(
            "E-EXTRA", "Shell completion needs shtab.", "pip install 'bert-mpq[completion]' brings it."
        ) from error
    from bert_mpq.ui.commands.parser import build_parser

    print(shtab.complete(build_parser(), shell=namespace.shell))


COMPLETION = Command(
    name="completion",
    help="print the completion script of a shell",
    add_flags=_add_flags,
    run=_run,
)
