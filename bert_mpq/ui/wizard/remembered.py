"""What was answered last: the newest run records of a folder, checked before they are used as defaults."""

from typing import Any

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.reading import (
    AnalysisRecord,
    EvaluationRecord,
    list_analyses,
    list_evaluations,
    newest_record,
)
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.flag import Phase
from bert_mpq.settings.flags import FLAGS
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.source_settings import OF_DATA
from bert_mpq.sources.embedded.bases import EMBEDDED


def remembered(output: str) -> RunConfig:
    """Return the answers of the newest runs in ``output``; the defaults where there is none.

    Each phase's answers come from that phase's newest record, what both have in common from the newer one.
    """
    config = RunConfig(output=output)
    analyses, evaluations = list_analyses(output)[:1], list_evaluations(output)[:1]
    for analysis in analyses:
        config = _changed(config, _answers(analysis, 1))
    for evaluation in evaluations:
        config = _changed(config, _answers(evaluation, 2))
    newest = newest_record(output)
    if newest is None:
        return config
    common = _answers(newest, 0)
    valid = {name: value for name, value in common.items() if _still_valid(name, value)}
    gone = OF_DATA if "data" not in valid else ()
    return _changed(config, {name: value for name, value in valid.items() if name not in gone})


def _answers(record: AnalysisRecord | EvaluationRecord, phase: Phase) -> dict[str, Any]:
    """Return what a record has of the fields of a phase (0: of both) that the menu remembers."""
    fields = [name for name, flag in FLAGS.items() if flag.remembered and flag.phase == phase]
    return {name: _answer(record, name) for name in fields}


def _changed(config: RunConfig, answers: dict[str, Any]) -> RunConfig:
    """Return ``config`` with ``answers``, or as it is where they cannot stand together."""
    try:
        return config.replace(**answers)
    except MpqError:
        return config


def _answer(record: AnalysisRecord | EvaluationRecord, name: str) -> Any:
    """Return a field of a record; "all" becomes the number there was, as the menu has it."""
    value = getattr(record.result.config, name)
    if name in ("calibration_size", "eval_size"):
        return value or record.result.sample.size
    return value


def _still_valid(name: str, value: Any) -> bool:
    """Return whether a setting can be used here and now; it need not work, but must not be plainly wrong."""
    if name == "device":
        return value in ("auto", "cpu", accelerator())
    if name not in ("model", "data") or value in ("default", "imdb", *EMBEDDED):
        return True
    looks_like_a_path = name == "data" or value.startswith((".", "/", "~")) or value.count("/") != 1
    try:
        return not looks_like_a_path or user_path(value).exists()
    except MpqError:
        return False
