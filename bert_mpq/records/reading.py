"""Reads run records back into what a phase measured; every value is checked."""

import contextlib
import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import EVALUATION, SENSITIVITIES
from bert_mpq.records.run_record import SCHEMA, VERSION
from bert_mpq.records.sensitivity import SensitivityResult
from bert_mpq.settings.config import RunConfig, from_json
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path

LARGEST = 1 << 24  # bytes; a record of a thousand layers takes 200 KB


Result = TypeVar("Result", SensitivityResult, EvaluationResult)
PHASES: dict[type, tuple[str, str]] = {
    SensitivityResult: ("sensitivity", "Phase 1"),
    EvaluationResult: ("quantize", "an evaluation"),
}


@dataclass(frozen=True, kw_only=True)
class RunRecord(Generic[Result]):
    """The record of a run.

    Args:
        path: the file.
        timestamp: local time of the run, YYYYmmdd_HHMMSS.
        command: the shell command that repeats the run.
        revision: commit of the model where it was known, else "".
        platform: operating system and machine it ran on, "" when unknown.
        result: what was measured.
    """

    path: Path
    timestamp: str
    command: str
    revision: str
    platform: str
    result: Result


EvaluationRecord = RunRecord[EvaluationResult]
SensitivityRecord = RunRecord[SensitivityResult]


def read_evaluation(name: Path | str) -> EvaluationRecord:
    """Read the run record of an evaluation; the report (.txt) beside it names it as well.

    Keys that this version does not know are passed over.

    Raises:
        MpqError: E-NOFILE; E-JSON with what is wrong; E-CONFIG when its settings are none of a run.
    """
    path = user_path(name)
    hint = "Give the .json of an evaluation in Evaluation/."
    return _read(path.with_suffix(".json") if path.suffix == ".txt" else path, EvaluationResult, hint)


def read_analysis(name: Path | str) -> SensitivityRecord:
    """Read the run record of Phase 1; raises as ``read_evaluation``."""
    return _read(user_path(name), SensitivityResult, "Give a run_*.json of Sensitivities/.")


def list_evaluations(output: Path | str) -> list[EvaluationRecord]:
    """Return the records in ``output/Evaluation`` that can be read, newest first."""
    return _listed(user_path(output).joinpath(EVALUATION).glob("eval_*.json"), read_evaluation)


def list_analyses(output: Path | str) -> list[SensitivityRecord]:
    """Return the records of Phase 1 in ``output/Sensitivities`` that can be read, newest first."""
    return _listed(user_path(output).joinpath(SENSITIVITIES).glob("run_*.json"), read_analysis)


def _listed(paths: Iterable[Path], read: Callable[[Path], RunRecord[Result]]) -> list[RunRecord[Result]]:
    records = []
    for path in paths:
        with contextlib.suppress(MpqError):  # not ours, broken, or deleted meanwhile
            records.append(read(path))
    return sorted(records, key=lambda record: (record.timestamp, record.path.name), reverse=True)


def _read(path: Path, kind: type[Result], hint: str) -> RunRecord[Result]:
    phase, words = PHASES[kind]
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is larger than any run record")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError("it has no schema of a run record")
        if content.get("version") != VERSION:
            raise ValueError(f"its version is {content.get('version')!r:.20}, this program reads {VERSION}")
        if content.get("phase") != phase:
            raise ValueError(f"it is no record of {words}")
        environment = content.get("environment")
        facts = environment if isinstance(environment, dict) else {}
        return RunRecord(
            path=path,
            timestamp=decoded(content.get("timestamp"), str, "timestamp"),
            command=decoded(content.get("command"), str, "command"),
            revision=str(facts.get("model_revision") or ""),
            platform=str(facts.get("platform") or ""),
            result=decoded(content, kind, ""),
        )
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MpqError("E-NOFILE", f"No run record at {path}.", hint) from error
    except (ValueError, OSError, RecursionError) as error:
        reason = "it is not valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise MpqError("E-JSON", f"{path.name}: {reason}.", hint) from error


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
        try:
            return math.nan if value is None else float(value)  # NaN is written as null
        except OverflowError as error:
            raise ValueError(f"{where} is too large a number") from error
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
