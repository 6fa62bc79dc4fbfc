"""Reads the run record of an evaluation back into what Phase 2 measured; every value is checked."""

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_mpq.artifacts.records import SCHEMA, VERSION
from bert_mpq.config import RunConfig, from_json
from bert_mpq.errors import MpqError
from bert_mpq.paths import user_path
from bert_mpq.results import EvaluationResult

LARGEST = 1 << 24  # bytes; a record of a thousand layers takes 200 KB


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """A run record of Phase 2.

    Args:
        path: the file.
        timestamp: local time of the run, YYYYmmdd_HHMMSS.
        command: the shell command that repeats the run.
        revision: commit of the model where it was known, else "".
        result: what was measured.
    """

    path: Path
    timestamp: str
    command: str
    revision: str
    result: EvaluationResult


def read_evaluation(name: Path | str) -> EvaluationRecord:
    """Read the run record of an evaluation; the report (.txt) beside it names it as well.

    Keys that this version does not know are passed over.

    Raises:
        MpqError: E-NOFILE; E-JSON with what is wrong; E-CONFIG when its settings are none of a run.
    """
    path = user_path(name)
    path = path.with_suffix(".json") if path.suffix == ".txt" else path
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is larger than any run record")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError("it has no schema of a run record")
        if content.get("version") != VERSION:
            raise ValueError(f"its version is {content.get('version')!r:.20}, this program reads {VERSION}")
        if content.get("phase") != "quantize":
            raise ValueError("it is no record of an evaluation")
        environment = content.get("environment")
        return EvaluationRecord(
            path=path,
            timestamp=decoded(content.get("timestamp"), str, "timestamp"),
            command=decoded(content.get("command"), str, "command"),
            revision=str((environment if isinstance(environment, dict) else {}).get("model_revision") or ""),
            result=decoded(content, EvaluationResult, ""),
        )
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MpqError(
            "E-NOFILE", f"No run record at {path}.", "Give the .json of an evaluation in Evaluation/."
        ) from error
    except (ValueError, OverflowError, OSError, RecursionError) as error:
        reason = "it is not valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise MpqError(
            "E-JSON", f"{path.name}: {reason}.", "Give the .json of an evaluation in Evaluation/."
        ) from error


def decoded(value: Any, kind: Any, where: str) -> Any:
    """Return ``value`` as ``kind``, a type of ``bert_mpq.results`` or of one of its fields."""
    if kind is RunConfig:
        return from_json(value)
    if dataclasses.is_dataclass(kind):
        return _decoded_fields(value, kind, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return decoded(value, next(each for each in arguments if each is not type(None)), where)
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(value):
            return tuple(
                decoded(item, each, f"{where}[{index}]")
                for index, (item, each) in enumerate(zip(value, kinds, strict=True))
            )
    if origin is Literal and value in arguments:
        return value
    if kind is float and (value is None or type(value) in (int, float)):
        return math.nan if value is None else float(value)  # NaN is written as null
    if type(value) is kind:
        return value
    raise ValueError(f"{where} is {'missing' if value is None else 'not what it should be'}")


def _decoded_fields(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {'missing' if value is None else 'not an object'}")
    hints = typing.get_type_hints(kind)
    given = {
        field.name: decoded(
            value.get(field.name), hints[field.name], f"{where}.{field.name}" if where else field.name
        )
        for field in dataclasses.fields(kind)
        if field.name in value or field.default is dataclasses.MISSING
    }
    return kind(**given)
