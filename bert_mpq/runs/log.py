"""What libraries warn of and where errors came from: kept in memory, and written beside the artifacts.

Nothing is written for a run that had nothing to say, or that Ctrl-C ended.
"""

import contextlib
import logging
import sys
from collections import deque
from pathlib import Path

from bert_mpq.records.files import prepare_folder
from bert_mpq.settings.errors import MpqError

LOG_NAME = "bert-mpq.log"
MOST = 1_000  # entries of one run
LARGEST_LOG = 1 << 20  # bytes; a larger file is begun anew
LIBRARIES = ("transformers", "datasets", "huggingface_hub", "torch", "py.warnings")


class RunLog(logging.Handler):
    """Takes the warnings of the libraries off the screen, where they would tear the progress display."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._entries: deque[str] = deque(maxlen=MOST)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self._entries.append(self.format(record))

    def take_over(self, with_datasets: bool) -> None:
        """Become the only handler of the libraries' loggers; imports them, for they set theirs at import.

        Args:
            with_datasets: whether the run will use the datasets library.
        """
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_warning()
        if with_datasets:
            import datasets  # noqa: F401
        logging.captureWarnings(True)
        for name in LIBRARIES:
            logger = logging.getLogger(name)
            logger.handlers[:] = [self]
            logger.propagate = False
            logger.setLevel(logging.WARNING)

    def add_error(self, error: BaseException) -> None:
        """Keep the traceback of ``error``."""
        parts = type(error), error, error.__traceback__
        record = logging.LogRecord("bert_mpq", logging.ERROR, "", 0, str(error), None, parts)
        self._entries.append(self.format(record))

    def write(self, output: str, folder: str) -> Path | None:
        """Append what was kept to ``output/folder/bert-mpq.log``; return its path, None when there is none.

        A disk that cannot be written is no error here: the run has said so already.
        """
        if not self._entries:
            return None
        text = "\n".join([" ".join(["---", *sys.argv[1:]]), *self._entries]) + "\n"
        self._entries.clear()
        with contextlib.suppress(MpqError, OSError):
            path = prepare_folder(output, folder) / LOG_NAME
            anew = path.exists() and path.stat().st_size > LARGEST_LOG
            with path.open("w" if anew else "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return path
        return None
