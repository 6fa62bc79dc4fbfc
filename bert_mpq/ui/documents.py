"""Results as JSON documents, and the JSON Schema that follows from their type: what ``--json`` prints.

A result is a frozen dataclass. Its fields are written, and the properties that its class names in
``DERIVED``. NaN and infinities are null.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bert_mpq.records.json_file import json_text

DRY_RUN = "dry-run", 1  # schema and version of what --dry-run --json prints
PLAIN = {str: "string", int: "integer", bool: "boolean", Path: "string"}
Definitions = dict[str, dict[str, Any]]


def document(name: str, version: int, result: object) -> str:
    """Return a result as the text of a JSON document that names its schema and version."""
    return json_text({"schema": f"bert-mpq/{name}", "version": version, **_plain(result)})


def schema_of(name: str, version: int, kind: type) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a document whose result is a ``kind``."""
    definitions: Definitions = {}
    body = _object(kind, definitions)
    head = {"schema": {"const": f"bert-mpq/{name}"}, "version": {"const": version}}
    body["properties"] = head | body["properties"]
    body["required"] = [*head, *body["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "$defs": definitions}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {name: _plain(getattr(value, name)) for name in _hints(type(value))}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _hints(kind: Any) -> dict[str, Any]:
    """Return what is written of a dataclass, with types."""
    hints = typing.get_type_hints(kind)
    named = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    for name in getattr(kind, "DERIVED", ()):
        named[name] = typing.get_type_hints(getattr(kind, name).fget)["return"]
    return named


def _object(kind: Any, definitions: Definitions) -> dict[str, Any]:
    properties = {name: _schema(hint, definitions) for name, hint in _hints(kind).items()}
    return {
        "title": kind.__name__,
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def _schema(hint: Any, definitions: Definitions) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        name = typing.cast(type, hint).__name__
        if name not in definitions:
            definitions[name] = {}  # it may hold itself
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [_schema(each, definitions) for each in arguments]}
    if origin is Literal:
        return {"enum": [*arguments]}
    if origin is tuple:
        several = {"type": "array", "items": _schema(arguments[0], definitions)}
        return (
            several
            if arguments[-1] is Ellipsis
            else several | {"minItems": len(arguments), "maxItems": len(arguments)}
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if hint is float:
        return {"type": ["number", "null"]}
    return {"type": "null"} if hint is type(None) else {"type": PLAIN[hint]}
