"""The command line: arguments -> a command or the menu; exceptions -> exit codes.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or no terminal, 129 SIGHUP, 130 Ctrl-C or Ctrl-D,
143 SIGTERM.
"""

import argparse
import contextlib
import errno
import io
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from bert_mpq.compute import distributed
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.ui.commands.command import Command
from bert_mpq.ui.commands.parser import build_parser

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution
    from bert_mpq.ui.failures import Telling


def main(arguments: Sequence[str] | None = None, begun: float | None = None) -> int:
    """Run the command line and return the exit code; only --help and the like raise SystemExit (0).

    Args:
        begun: when the process began, by time.perf_counter; default now.
    """
    begun = time.perf_counter() if begun is None else begun
    from bert_mpq.ui.console import error_console, output_console, prepare_environment
    from bert_mpq.ui.failures import Telling

    prepare_environment()
    words = sys.argv[1:] if arguments is None else list(arguments)
    output, errors = output_console(), error_console()
    output.quiet = errors.quiet = distributed.rank() > 0
    try:
        namespace = _namespace(words)
    except UsageError as error:
        if distributed.rank() == 0:
            Telling(errors, as_json="--json" in words).mistake(error)
        return error.exit_code
    from bert_mpq.ui.execution import Execution

    if namespace.accessible:
        os.environ["ACCESSIBLE"] = "1"
    output.quiet = errors.quiet = errors.quiet or namespace.json
    telling = Telling(errors, as_json=namespace.json, with_traceback=namespace.verbose)
    execution = Execution(
        output,
        errors,
        quiet=namespace.quiet or errors.quiet,
        asks=not (namespace.yes or namespace.json),
        dry=getattr(namespace, "dry_run", False),
        begun=begun if namespace.command else None,
    )
    try:
        return _run(namespace, execution, telling)
    except _Terminated as error:
        return telling.termination(error, error.number)


def _run(namespace: argparse.Namespace, execution: "Execution", telling: "Telling") -> int:
    try:
        _answer_signals()
        distributed.join()
        _dispatch(namespace, execution)
        distributed.leave()
        return 0
    except MpqError as error:
        return telling.refusal(error)
    except (KeyboardInterrupt, EOFError):
        return telling.interruption(execution.written)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EIO:  # written to a terminal that is gone
            _leave_terminal()
            raise _Terminated(signal.SIGHUP) from error
        if _interrupted():  # in a library that made another exception of it
            return telling.interruption(execution.written)
        return telling.surprise(error, execution.log_file)


def _namespace(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments; of several processes only one prints what --help and the like ask for."""
    with contextlib.ExitStack() as stack:
        if distributed.rank() > 0:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        return build_parser().parse_args(arguments)


def _dispatch(namespace: argparse.Namespace, execution: "Execution") -> None:
    command = namespace.command
    if distributed.launched() and not (command and command.several_processes):
        name = command.name if command else "The menu"
        raise UsageError("E-DISTRIBUTED", f"{name} runs in one process.", "Start it without torchrun.")
    if command is not None:
        text = _done(command, namespace, execution)
        if namespace.json and distributed.rank() == 0:
            sys.stdout.write(text)
        return
    if namespace.json:
        raise UsageError("E-CONFIG", "The menu cannot speak JSON.", "Put a command before --json.")
    from bert_mpq.ui.wizard.menu import Wizard

    config = flags.config_from(namespace, RunConfig())
    given = frozenset(name for name in flags.FLAGS if hasattr(namespace, name))
    Wizard(config=config, given=given, output=execution.output, execution=execution).open()


def _done(command: Command, namespace: argparse.Namespace, execution: "Execution") -> str:
    """Run a command; return its result, or in a dry run what it would do, as JSON."""
    from bert_mpq.ui.documents import DRY_RUN, document
    from bert_mpq.ui.execution import OnlyPlannedError

    try:
        result = command.run(namespace, execution)
    except OnlyPlannedError as only:
        return document(*DRY_RUN, only.dry_run)
    return document(command.name, command.version, result) if namespace.json else ""


class _Terminated(SystemExit):
    """SIGTERM or SIGHUP, as an exception, so that temporary files are removed on the way out.

    An event loop lets a SystemExit through, and takes any other for the error of a callback.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _answer_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGTERM, _terminate)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not by nohup
            signal.signal(signal.SIGHUP, _hang_up)


def _interrupted() -> bool:
    """Return whether Ctrl-C has been pressed."""
    return signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C ends at once, whatever is still being tidied up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated(number)


def _hang_up(number: int, frame: FrameType | None) -> None:
    _leave_terminal()
    raise _Terminated(number)


def _leave_terminal() -> None:
    # What is written to a terminal that is gone would be an error of its own.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):  # a terminal that is gone is none any more
                os.dup2(nowhere, stream.fileno())
