"""The command line: arguments -> a command or the menu; exceptions -> exit codes.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or no terminal, 130 Ctrl-C or Ctrl-D, 143 SIGTERM.
"""

import argparse
import contextlib
import io
import signal
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from bert_mpq import __version__, distributed, flags
from bert_mpq.commands import COMMANDS
from bert_mpq.commands.command import add_common_flags
from bert_mpq.config import RunConfig
from bert_mpq.errors import MpqError, UsageError

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; only wrong flags raise SystemExit (2)."""
    from bert_mpq.ui.console import error_console, output_console, prepare_environment

    prepare_environment()
    namespace = _namespace(arguments)
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _terminate)
    from bert_mpq.ui.execution import Execution

    output, errors = output_console(), error_console()
    output.quiet = errors.quiet = distributed.rank() > 0
    execution = Execution(output, errors, quiet=namespace.quiet or errors.quiet)
    try:
        return _run(namespace, execution)
    except _Terminated as error:
        if distributed.reports(error):
            errors.quiet = False
            why = " When one process of a run ends, so do the others." if distributed.launched() else ""
            errors.print(f"Terminated.{why}")
        return 143


def _run(namespace: argparse.Namespace, execution: "Execution") -> int:
    errors = execution.errors
    try:
        distributed.join()
        _dispatch(namespace, execution)
        distributed.leave()
        return 0
    except MpqError as error:
        from bert_mpq.ui.views import print_error

        if _speaks(error, execution):
            print_error(error, errors)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends at once
        kept = "The files named above are kept." if execution.written else "No result was written."
        errors.print(f"Stopped. {kept}")
        return 130
    except Exception as error:
        if namespace.verbose:
            raise
        if not _speaks(error, execution):
            return 1
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        errors.print(f"error: unexpected {type(error).__name__}: {first}", soft_wrap=True, markup=False)
        errors.print("hint: run it again with -v for the traceback, and report it.")
        return 1


def _speaks(error: BaseException, execution: "Execution") -> bool:
    """Return whether this process tells the error; one that is not the first of its run says who it is."""
    if not distributed.reports(error):
        return False
    execution.errors.quiet = False
    if distributed.launched():
        execution.errors.print(f"In {distributed.place()}:", soft_wrap=True, markup=False)
    return True


def _namespace(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; of several processes only one complains about them."""
    with contextlib.ExitStack() as stack:
        if distributed.rank() > 0:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        return _parser().parse_args(arguments)


def _dispatch(namespace: argparse.Namespace, execution: "Execution") -> None:
    if distributed.launched() and not (namespace.command and namespace.command.several_processes):
        name = namespace.command.name if namespace.command else "The menu"
        raise UsageError("E-DISTRIBUTED", f"{name} runs in one process.", "Start it without torchrun.")
    if namespace.command is not None:
        namespace.command.run(namespace, execution)
        return
    from bert_mpq.ui.wizard import Wizard

    config = flags.config_from(namespace, RunConfig())
    given = frozenset(name for name in flags.FLAGS if hasattr(namespace, name))
    Wizard(config=config, given=given, output=execution.output, execution=execution).open()


def _parser() -> argparse.ArgumentParser:
    description = "Mixed-precision quantization of BERT classifiers. Without a command it opens the menu."
    parser = argparse.ArgumentParser(prog="bert-mpq", description=description)
    parser.add_argument("--version", action="version", version=f"bert-mpq {__version__}")
    parser.set_defaults(command=None)
    add_common_flags(parser, False)
    subparsers = parser.add_subparsers(title="commands", metavar="")
    for command in COMMANDS:
        text = command.help[0].upper() + command.help[1:] + "."
        subparser = subparsers.add_parser(command.name, help=command.help, description=text)
        subparser.set_defaults(command=command)
        command.add_flags(subparser)
        add_common_flags(subparser, argparse.SUPPRESS)
    flags.add_flags(parser, "run")
    return parser


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated
