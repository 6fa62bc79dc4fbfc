"""The parser of the whole command line."""

import argparse
import json
from typing import Any, NoReturn

from bert_mpq import __version__
from bert_mpq.settings import flags
from bert_mpq.settings.errors import UsageError
from bert_mpq.ui.commands.bench import BENCH
from bert_mpq.ui.commands.classify import CLASSIFY
from bert_mpq.ui.commands.command import Command
from bert_mpq.ui.commands.export import EXPORT
from bert_mpq.ui.commands.help import COMPLETION, HELP
from bert_mpq.ui.commands.reports import COMPARE, DOCTOR
from bert_mpq.ui.commands.runs import RUNS

COMMANDS: tuple[Command, ...] = (*RUNS, COMPARE, EXPORT, CLASSIFY, BENCH, DOCTOR, HELP, COMPLETION)


class Parser(argparse.ArgumentParser):
    """A parser that refuses wrong flags as every other mistake is refused."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError E-CONFIG."""
        raise UsageError("E-CONFIG", f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


class PrintSchema(argparse.Action):
    """A flag that prints the JSON Schema of its command and leaves, as --help does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and leave."""
        print(json.dumps(parser.get_default("command").schema, indent=2))
        parser.exit()


def build_parser() -> Parser:
    """Return the parser; without a command the namespace's ``command`` is None: the menu."""
    description = "Mixed-precision quantization of BERT classifiers. Without a command it opens the menu."
    parser = Parser(prog="bert-mpq", description=description)
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
        if command.starts:
            text = "show plan, sizes, files and time, and run nothing"
            subparser.add_argument("--dry-run", action="store_true", help=text)
        text = "print the JSON Schema of what --json prints, and leave"
        subparser.add_argument("--schema", action=PrintSchema, nargs=0, help=text)
    flags.add_flags(parser, "run")
    return parser


def _add_common_flags(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the flags of every command; a command that is not given one keeps what stood before its name."""
    parser.add_argument("--yes", action="store_true", default=default, help="start without asking")
    parser.add_argument("--quiet", action="store_true", default=default, help="no progress")
    text = "plain lines and numbered answers, for screen readers; as ACCESSIBLE=1 does"
    parser.add_argument("--accessible", action="store_true", default=default, help=text)
    text = "print the result as JSON (an error as JSON on stderr), ask nothing, show no progress"
    parser.add_argument("--json", action="store_true", default=default, help=text)
    parser.add_argument("-v", dest="verbose", action="store_true", default=default, help="show tracebacks")
