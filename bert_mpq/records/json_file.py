"""JSON files: read within limits, refused in one sentence, written without NaN."""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bert_mpq.settings.errors import ErrorCode, MpqError

Read = TypeVar("Read")
LONGEST_INTEGER = 4000  # digits; Python reads 4,300


def read_json(path: Path, largest: int, kind: str, strict: bool = True) -> Any:
    """Return the value in a JSON file.

    Args:
        largest: bytes it may have.
        kind: what it should be, as in "larger than any run record".
        strict: refuse NaN, infinities and a key that stands twice; other programs may have written those.

    Raises:
        ValueError: in words, why it cannot be read.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError(path)
        if path.stat().st_size > largest:
            raise ValueError(f"it is larger than any {kind}")
        return json.loads(
            path.read_bytes(),
            parse_int=_integer,
            object_pairs_hook=_unique if strict else None,
            parse_constant=_no_number if strict else None,
        )
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"it cannot be read ({(error.strerror or '').lower()})") from error


@contextlib.contextmanager
def refusals(path: Path, kind: str, hint: str, code: ErrorCode = "E-JSON") -> Iterator[None]:
    """Say in one sentence why a file that ``read_json`` reads is of no use.

    Raises:
        MpqError: E-NOFILE; ``code`` for every ValueError.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise MpqError("E-NOFILE", f"No {kind} at {path}.", hint) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise MpqError(code, f"{path.name} is not valid JSON ({where}).", hint) from error
    except ValueError as error:
        raise MpqError(code, f"{path.name}: {error}.", hint) from error


def versioned(content: Any, schema: str, version: int, otherwise: str) -> dict[str, Any]:
    """Return an object of one of our formats.

    Args:
        version: the one this program writes and reads.
        otherwise: what to say of something else.

    Raises:
        ValueError: it is of another format, or of another version.
    """
    if not isinstance(content, dict) or content.get("schema") != schema:
        raise ValueError(otherwise)
    if content.get("version") != version:
        raise ValueError(f"its version is {content.get('version')!r:.20}, this program reads {version}")
    return content


def readable(paths: Iterable[Path], read: Callable[[Path], Read]) -> list[Read]:
    """Return what ``read`` makes of every file but those that are not ours, broken, or deleted meanwhile."""
    found = []
    for path in paths:
        with contextlib.suppress(MpqError):
            found.append(read(path))
    return found


def json_text(content: Any) -> str:
    """Return JSON for people to read, with null for every NaN and infinity."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f'"{key[:40]}" stands twice')
        content[key] = value
    return content


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise ValueError("a number is too long")
    return int(digits)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number")
