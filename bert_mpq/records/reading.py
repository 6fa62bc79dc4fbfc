"""Reads run records back into what a phase measured; every value is checked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import EVALUATION, RUN_PREFIX, SENSITIVITIES
from bert_mpq.records.json_file import read_json, readable, refusals, versioned
from bert_mpq.records.run_record import LARGEST_RECORD, RECORD_SCHEMA, RECORD_VERSION
from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.settings.config_json import from_json
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.type_hints import converted

Measured = TypeVar("Measured", AnalysisResult, EvaluationResult)
PHASES: dict[type, tuple[str, str]] = {
    AnalysisResult: ("sensitivity", "Phase 1"),
    EvaluationResult: ("quantize", "an evaluation"),
}


@dataclass(frozen=True, kw_only=True)
class RunRecord(Generic[Measured]):
    """The record of a run.

    Args:
        timestamp: local time of the run, YYYYmmdd_HHMMSS.
        revision: commit of the model where it was known, else "".
        platform: operating system and machine it ran on, "" when unknown.
    """

    path: Path
    timestamp: str
    command: str
    revision: str
    platform: str
    result: Measured


EvaluationRecord = RunRecord[EvaluationResult]
AnalysisRecord = RunRecord[AnalysisResult]


def read_evaluation(name: Path | str) -> EvaluationRecord:
    """Read the run record of an evaluation; the report (.txt) beside it names it as well.

    Keys that this version does not know are passed over.

    Raises:
        MpqError: E-NOFILE; E-JSON with what is wrong; E-CONFIG when its settings are none of a run.
    """
    path = user_path(name)
    hint = "Give the .json of an evaluation in Evaluation/."
    return _read(path.with_suffix(".json") if path.suffix == ".txt" else path, EvaluationResult, hint)


def read_analysis(name: Path | str) -> AnalysisRecord:
    """Read the run record of Phase 1; raises as ``read_evaluation``."""
    return _read(user_path(name), AnalysisResult, "Give a run_*.json of Sensitivities/.")


def list_evaluations(output: Path | str) -> list[EvaluationRecord]:
    """Return the records in ``output/Evaluation`` that can be read, newest first."""
    return _listed(user_path(output).joinpath(EVALUATION).glob("eval_*.json"), read_evaluation)


def list_analyses(output: Path | str) -> list[AnalysisRecord]:
    """Return the records of Phase 1 in ``output/Sensitivities`` that can be read, newest first."""
    return analyses_in(user_path(output) / SENSITIVITIES)


def analyses_in(folder: Path) -> list[AnalysisRecord]:
    """Return the records of Phase 1 in ``folder`` that can be read, newest first."""
    return _listed(folder.glob(f"{RUN_PREFIX}*.json"), read_analysis)


def newest_record(output: Path | str) -> AnalysisRecord | EvaluationRecord | None:
    """Return the record of the last run of a phase in ``output``; None where none can be read."""
    records: list[AnalysisRecord | EvaluationRecord] = [
        *list_analyses(output)[:1],
        *list_evaluations(output)[:1],
    ]
    return max(records, key=lambda record: record.timestamp, default=None)


def _listed(paths: Iterable[Path], read: Callable[[Path], RunRecord[Measured]]) -> list[RunRecord[Measured]]:
    return sorted(
        readable(paths, read), key=lambda record: (record.timestamp, record.path.name), reverse=True
    )


def _read(path: Path, kind: type[Measured], hint: str) -> RunRecord[Measured]:
    phase, words = PHASES[kind]
    with refusals(path, "run record", hint):
        content = read_json(path, LARGEST_RECORD, "run record")
        content = versioned(content, RECORD_SCHEMA, RECORD_VERSION, "it has no schema of a run record")
        if content.get("phase") != phase:
            raise ValueError(f"it is no record of {words}")
        environment = content.get("environment")
        facts = environment if isinstance(environment, dict) else {}
        return RunRecord(
            path=path,
            timestamp=converted(content.get("timestamp"), str, "timestamp"),
            command=converted(content.get("command"), str, "command"),
            revision=str(facts.get("model_revision") or ""),
            platform=str(facts.get("platform") or ""),
            result=converted(content | {"config": from_json(content.get("config"))}, kind, ""),
        )
