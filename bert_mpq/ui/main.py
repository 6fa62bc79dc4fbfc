"""The command line: arguments -> a command or the menu; exceptions -> exit codes.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or no terminal, 130 Ctrl-C or Ctrl-D, 143 SIGTERM.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from bert_mpq.compute import distributed
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.ui.commands.parser import build_parser

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; only wrong flags raise SystemExit (2)."""
    from bert_mpq.ui.console import error_console, output_console, prepare_environment

    prepare_environment()
    namespace = _namespace(arguments)
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
        _answer_signals()
        distributed.join()
        _dispatch(namespace, execution)
        distributed.leave()
        return 0
    except MpqError as error:
        from bert_mpq.ui.views.panels import print_error

        if _speaks(error, execution):
            if namespace.verbose and error.__cause__ is not None:
                traceback.print_exception(error.__cause__)
            print_error(error, errors)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        return _stopped(execution)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if _interrupted():  # in a library that made another exception of it
            return _stopped(execution)
        if not _speaks(error, execution):
            return 1
        if namespace.verbose:
            traceback.print_exc()
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        errors.print(f"error: unexpected {type(error).__name__}: {first}", soft_wrap=True, markup=False)
        log = execution.log_file
        where = f"the traceback is in {log}" if log else "-v shows the traceback"
        errors.print(f"hint: please report it; {where}.", soft_wrap=True, markup=False)
        return 1


def _stopped(execution: "Execution") -> int:
    kept = "The files named above are kept." if execution.written else "No result was written."
    execution.errors.print(f"Stopped. {kept}")
    return 130


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
        return build_parser().parse_args(arguments)


def _dispatch(namespace: argparse.Namespace, execution: "Execution") -> None:
    if distributed.launched() and not (namespace.command and namespace.command.several_processes):
        name = namespace.command.name if namespace.command else "The menu"
        raise UsageError("E-DISTRIBUTED", f"{name} runs in one process.", "Start it without torchrun.")
    if namespace.command is not None:
        namespace.command.run(namespace, execution)
        return
    from bert_mpq.ui.wizard.menu import Wizard

    config = flags.config_from(namespace, RunConfig())
    given = frozenset(name for name in flags.FLAGS if hasattr(namespace, name))
    Wizard(config=config, given=given, output=execution.output, execution=execution).open()


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


def _answer_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _terminate)


def _interrupted() -> bool:
    """Return whether Ctrl-C has been pressed."""
    return signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C ends at once, whatever is still being tidied up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated
