"""How a command that ends without a result says so: as lines or a panel for people, as JSON for scripts."""

import dataclasses
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bert_mpq.compute import distributed
from bert_mpq.settings.errors import MpqError
from bert_mpq.ui.documents import document
from bert_mpq.ui.views.panels import print_error

VERSION = 1  # of the JSON


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a command ended without a result.

    Args:
        code: one of ``ERROR_CODES``; or ``unexpected``, ``stopped`` (Ctrl-C) or ``terminated``.
        message: one sentence.
        hint: what to do; "" when the message says it all.
        exit_code: of the process.
        traceback: with -v.
    """

    code: str
    message: str
    hint: str = ""
    exit_code: int
    traceback: str = ""


class Telling:
    """Tells failures on stderr; each method returns the exit code.

    Args:
        errors: the console of stderr; one that is quiet is opened for what this process has to tell.
        as_json: write one JSON object and nothing else.
        with_traceback: add the traceback.
    """

    def __init__(self, errors: Console, as_json: bool, with_traceback: bool = False) -> None:
        self._errors, self._as_json, self._with_traceback = errors, as_json, with_traceback

    def refusal(self, error: MpqError) -> int:
        """Tell an error that the user can mend, in one process of a run."""
        if self._speaks(error):
            self.mistake(error)
        return error.exit_code

    def mistake(self, error: MpqError) -> None:
        """Tell an error that the user can mend."""
        failure = Failure(code=error.code, message=error.title, hint=error.hint, exit_code=error.exit_code)
        if not self._told(failure, error.__cause__):
            print_error(error, self._errors)

    def surprise(self, error: Exception, log_file: Path | None) -> int:
        """Tell an error that nobody thought of."""
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"unexpected {type(error).__name__}: {first}"
        where = f"the traceback is in {log_file}" if log_file else "-v shows the traceback"
        hint = f"please report it; {where}."
        failure = Failure(code="unexpected", message=message, hint=hint, exit_code=1)
        if self._speaks(error) and not self._told(failure, error):
            self._line(f"error: {message}")
            self._line(f"hint: {hint}")
        return failure.exit_code

    def interruption(self, written: bool) -> int:
        """Tell that Ctrl-C or Ctrl-D has ended it."""
        kept = "The files named above are kept." if written else "No result was written."
        failure = Failure(code="stopped", message=f"Stopped. {kept}", exit_code=130)
        if distributed.rank() == 0 and not self._told(failure, None):
            self._line(failure.message)
        return failure.exit_code

    def termination(self, error: BaseException, number: int) -> int:
        """Tell that a signal has ended it."""
        why = " When one process of a run ends, so do the others." if distributed.launched() else ""
        failure = Failure(code="terminated", message=f"Terminated.{why}", exit_code=128 + number)
        if distributed.reports(error) and not self._told(failure, None):
            self._errors.quiet = False
            self._line(failure.message)
        return failure.exit_code

    def _speaks(self, error: BaseException) -> bool:
        """Return whether this process tells the error; one of several says which it is."""
        if not distributed.reports(error):
            return False
        self._errors.quiet = False
        if distributed.launched() and not self._as_json:
            self._line(f"In {distributed.place()}:")
        return True

    def _told(self, failure: Failure, cause: BaseException | None) -> bool:
        """Write JSON where that is asked for, else the traceback; return whether that is all."""
        trace = "".join(traceback.format_exception(cause)) if cause and self._with_traceback else ""
        if self._as_json:
            sys.stderr.write(document("error", VERSION, dataclasses.replace(failure, traceback=trace)))
            return True
        sys.stderr.write(trace)
        return False

    def _line(self, text: str) -> None:
        self._errors.print(text, soft_wrap=True, markup=False)
