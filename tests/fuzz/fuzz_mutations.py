"""Valid files, broken in every way: values replaced, removed, doubled, and bytes cut or flipped."""

import copy
import json
from typing import Any, Protocol

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    5,
    2**31,
    2**64,
    10**400,
    0.5,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "layer_0",
    "nan",
    "../../etc/passwd",
    "\x00",
    "\ud800",
    "x" * 5_000,
    [],
    {},
    [[]],
    {"": {"": []}},
)


class Source(Protocol):
    """Where decisions come from: a seeded generator, hypothesis, or a coverage-guided fuzzer."""

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``."""
        ...


def broken_json(content: Any, source: Source) -> bytes:
    """Return ``content`` as JSON after a few changes."""
    content = copy.deepcopy(content)
    for _ in range(source.integer(1, 4)):
        content = _changed(content, source)
    text = json.dumps(_nested(content, source)).encode("utf-8", "surrogatepass")
    return broken_bytes(text, source) if source.integer(0, 4) == 0 else text


def broken_bytes(data: bytes, source: Source) -> bytes:
    """Return ``data`` cut off, with bytes changed, or with a part doubled."""
    at, kind = source.integer(0, len(data)), source.integer(0, 2)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([source.integer(0, 255)]) + data[at + 1 :]
    return data[:at] + data[max(0, at - source.integer(0, 64)) :]


def broken_safetensors(data: bytes, source: Source) -> bytes:
    """Return a safetensors file with a changed header, changed JSON in its metadata, or changed bytes."""
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    kind = source.integer(0, 3)
    if kind == 0:
        return broken_bytes(data, source)
    metadata = header.get("__metadata__", {})
    if kind == 1 and metadata:
        key = sorted(metadata)[0]
        header["__metadata__"] = {**metadata, key: _broken_text(metadata[key], source)}
    else:
        header = _changed(header, source)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    length = len(text) if kind != 3 else source.integer(0, 2**40)
    return length.to_bytes(8, "little") + text + rest


def _broken_text(text: str, source: Source) -> str:
    try:
        broken = broken_json(json.loads(text), source)
    except json.JSONDecodeError:
        broken = broken_bytes(text.encode(), source)
    return broken.decode("utf-8", "replace")


def _odd(source: Source) -> Any:
    return copy.deepcopy(ODD[source.integer(0, len(ODD) - 1)])


def _changed(content: Any, source: Source) -> Any:
    """Change one place, found by walking down from the root."""
    if not isinstance(content, dict | list) or not content or source.integer(0, 9) == 0:
        return _odd(source)
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = keys[source.integer(0, len(keys) - 1)]
    action = source.integer(0, 4)
    if action == 0:
        del content[key]
    elif action == 1 and isinstance(content, dict):
        odd = _odd(source)
        content[odd if isinstance(odd, str) else "other"] = content.pop(key)
    elif action == 2 and isinstance(content, list):
        content.append(copy.deepcopy(content[key]))
    else:
        content[key] = _changed(content[key], source)
    return content


def _nested(content: Any, source: Source) -> Any:
    """Bury the content under many lists, now and then."""
    if source.integer(0, 30) == 0:
        for _ in range(source.integer(1, 400)):
            content = [content]
    return content
