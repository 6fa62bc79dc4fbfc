"""The command line: arguments -> RunConfig -> pipeline; exceptions -> exit codes.

Exit codes: 0 done, 1 the run failed, 2 wrong usage or no terminal, 130 Ctrl-C or Ctrl-D, 143 SIGTERM.
"""

import argparse
import json
import signal
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

from bert_mpq import __version__, flags
from bert_mpq.config import RunConfig, from_json
from bert_mpq.errors import MpqError
from bert_mpq.paths import user_path

if TYPE_CHECKING:
    from bert_mpq.ui.execution import Execution

PHASES = {
    "sensitivity": "Phase 1: score every encoder layer, write Sensitivities/",
    "quantize": "Phase 2: allocate bits, quantize, evaluate before and after, write Evaluation/",
    "run": "both phases",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; only wrong flags raise SystemExit (2)."""
    from bert_mpq.ui.console import error_console, output_console, prepare_environment

    prepare_environment()
    namespace = _parser().parse_args(arguments)
    errors = error_console()
    if hasattr(signal, "SIGTERM"):
        signal.signal(signal.SIGTERM, _terminate)
    from bert_mpq.ui.execution import Execution

    execution = Execution(output_console(), errors, quiet=namespace.quiet)
    try:
        _dispatch(namespace, execution)
        return 0
    except MpqError as error:
        from bert_mpq.ui.views import print_error

        print_error(error, errors)
        return error.exit_code
    except (KeyboardInterrupt, EOFError):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends at once
        kept = "The files named above are kept." if execution.written else "Nothing was written."
        errors.print(f"Stopped. {kept}")
        return 130
    except _Terminated:
        errors.print("Terminated.")
        return 143
    except Exception as error:
        if namespace.verbose:
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        errors.print(f"error: unexpected {type(error).__name__}: {first}", soft_wrap=True, markup=False)
        errors.print("hint: run it again with -v for the traceback, and report it.")
        return 1


def _dispatch(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.ui.console import error_console, output_console

    base = _read_config(namespace.config) if getattr(namespace, "config", None) else RunConfig()
    config = flags.config_from(namespace, base)
    output = output_console()
    if namespace.phase is None:
        from bert_mpq.ui.wizard import Wizard

        given = frozenset(name for name in flags.FLAGS if hasattr(namespace, name))
        Wizard(config=config, given=given, output=output, execution=execution).open()
        return
    from bert_mpq.planning import make_plan
    from bert_mpq.ui import views

    config = flags.relevant(namespace.phase, config)
    plan = make_plan(config, namespace.phase)
    if plan.sources.model.note:
        error_console().print(plan.sources.model.note, soft_wrap=True, markup=False)
    if not namespace.yes:
        execution.confirm(plan)
    execution.run(plan)
    views.print_repeat(flags.command_line(namespace.phase, config), output)


def _parser() -> argparse.ArgumentParser:
    description = "Mixed-precision quantization of BERT classifiers. Without a command it opens the menu."
    parser = argparse.ArgumentParser(prog="bert-mpq", description=description)
    parser.add_argument("--version", action="version", version=f"bert-mpq {__version__}")
    parser.set_defaults(phase=None)
    _common(parser, False)
    commands = parser.add_subparsers(title="commands", metavar="")
    for name, text in PHASES.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(phase=name)
        command.add_argument("--config", metavar="FILE", help="JSON file of settings; flags come on top")
        flags.add_flags(command, name)
        _common(command, argparse.SUPPRESS)
    flags.add_flags(parser, "run")
    return parser


def _common(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the flags of every command; a command that is not given one keeps what stood before its name."""
    switch = {"action": "store_true", "default": default}
    parser.add_argument("--yes", help="start without asking", **switch)  # type: ignore[arg-type]
    parser.add_argument("--quiet", help="no progress", **switch)  # type: ignore[arg-type]
    parser.add_argument("-v", dest="verbose", help="show tracebacks", **switch)  # type: ignore[arg-type]


def _read_config(name: str) -> RunConfig:
    path = user_path(name)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise MpqError("E-NOFILE", f"No configuration file at {name}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise MpqError("E-CONFIG", f"{path.name} is not valid JSON.", "It is cut off or no JSON.") from error
    # A run record holds its configuration under "config".
    if isinstance(content, dict) and "schema" in content:
        content = content.get("config")
    return from_json(content)


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated
