"""Consoles, and whether there is a terminal that can show a menu."""

import asyncio
import contextlib
import os
import sys

from rich.console import Console

from bert_mpq.settings.errors import UsageError


def prepare_environment() -> None:
    """Keep the libraries' own bars and warnings off our screens; call before they are imported."""
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DISABLE_SAFETENSORS_CONVERSION": "1",  # no third party is asked to convert a model
        "DATASETS_VERBOSITY": "critical",  # until a run's log takes it over
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }.items():
        os.environ.setdefault(name, value)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a cp1252 or ASCII console must not end a run


def output_console() -> Console:
    """Return the console for results (stdout)."""
    return Console(highlight=False, emoji=False)


def error_console() -> Console:
    """Return the console for progress and errors (stderr)."""
    return Console(stderr=True, highlight=False, emoji=False)


def is_utf8(console: Console) -> bool:
    """Return whether the console can show block characters."""
    return console.encoding.lower().startswith("utf")


def symbol(character: str, plain: str) -> str:
    """Return ``character`` where stdout can show it, else ``plain``."""
    try:
        character.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return plain
    return character


def is_accessible() -> bool:
    """Return whether everything is said in plain lines: ACCESSIBLE=1, or a terminal that moves no cursor."""
    wanted = os.environ.get("ACCESSIBLE", "") not in ("", "0")
    return wanted or os.environ.get("TERM", "").lower() in ("dumb", "unknown")


def is_live(console: Console) -> bool:
    """Return whether lines can be redrawn on the console, and may."""
    return console.is_terminal and not is_accessible()


def working(console: Console, text: str) -> contextlib.AbstractContextManager[object]:
    """Return a context with a sign that something is being done: a spinner, or a plain line."""
    if not is_accessible():
        return console.status(text)
    console.print(f"{text} ...")
    return contextlib.nullcontext()


def require_terminal() -> None:
    """Refuse to open a menu where it cannot be used.

    Raises:
        UsageError: E-TERMINAL without a terminal on stdin and stdout, or inside an event loop.
    """
    hint = "Use bert-mpq run --help."
    if any(stream is None or not stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageError("E-TERMINAL", "The menu needs a terminal.", hint)
    if is_accessible():
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError("E-TERMINAL", "The menu cannot run inside an event loop (a notebook).", hint)
