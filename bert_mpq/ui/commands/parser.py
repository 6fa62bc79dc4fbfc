"""The parser of the whole command line."""

import argparse

from bert_mpq import __version__
from bert_mpq.settings import flags
from bert_mpq.ui.commands.bench import BENCH
from bert_mpq.ui.commands.classify import CLASSIFY
from bert_mpq.ui.commands.command import Command
from bert_mpq.ui.commands.export import EXPORT
from bert_mpq.ui.commands.help import COMPLETION, HELP
from bert_mpq.ui.commands.reports import COMPARE, DOCTOR
from bert_mpq.ui.commands.runs import RUNS

COMMANDS: tuple[Command, ...] = (*RUNS, COMPARE, EXPORT, CLASSIFY, BENCH, DOCTOR, HELP, COMPLETION)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; without a command the namespace's ``command`` is None: the menu."""
    description = "Mixed-precision quantization of BERT classifiers. Without a command it opens the menu."
    parser = argparse.ArgumentParser(prog="bert-mpq", description=description)
    parser.add_argument("--version", action="version", version=f"bert-mpq {__version__}")
    parser.set_defaults(command=None)
    _add_common_flags(parser, False)
    subparsers = parser.add_subparsers(title="commands", metavar="")
    for command in COMMANDS:
        text = command.help[0].upper() + command.help[1:] + "."
        subparser = subparsers.add_parser(command.name, help=command.help, description=text)
        subparser.set_defaults(command=command)
        command.add_flags(subparser)
        _add_common_flags(subparser, argparse.SUPPRESS)
    flags.add_flags(parser, "run")
    return parser


def _add_common_flags(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the flags of every command; a command that is not given one keeps what stood before its name."""
    parser.add_argument("--yes", action="store_true", default=default, help="start without asking")
    parser.add_argument("--quiet", action="store_true", default=default, help="no progress")
    parser.add_argument("-v", dest="verbose", action="store_true", default=default, help="show tracebacks")
