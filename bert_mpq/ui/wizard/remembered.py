"""What was answered last: the newest run records of a folder, checked before they are used as defaults."""

from typing import Any

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.reading import EvaluationRecord, SensitivityRecord, list_analyses, list_evaluations
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path

SETTINGS = ("model", "data", "device", "max_length")
ASKED_1 = ("calibration_size", "metrics", "until_stable")
ASKED_2 = (*flags.PHASE_2, *flags.ALLOCATION)


def remembered(output: str) -> RunConfig:
    """Return the answers of the newest runs in ``output``; the defaults where there is none.

    Each phase's answers come from that phase's newest record, what both have in common from the newer one.
    """
    config = RunConfig(output=output)
    phase_1, phase_2 = list_analyses(output)[:1], list_evaluations(output)[:1]
    records: list[SensitivityRecord | EvaluationRecord] = [*phase_1, *phase_2]
    for record in records:
        fields = ASKED_1 if record in phase_1 else ASKED_2
        config = _changed(config, {name: _answer(record, name) for name in fields})
    newest = max(records, key=lambda record: record.timestamp, default=None)
    if newest is None:
        return config
    settings = {name: getattr(newest.result.config, name) for name in (*SETTINGS, "sampling")}
    return _changed(config, {name: value for name, value in settings.items() if _still_valid(name, value)})


def _changed(config: RunConfig, answers: dict[str, Any]) -> RunConfig:
    """Return ``config`` with ``answers``, or as it is where they cannot stand together."""
    try:
        return config.replace(**answers)
    except MpqError:
        return config


def _answer(record: SensitivityRecord | EvaluationRecord, name: str) -> Any:
    """Return a field of a record; "all" becomes the number there was, as the menu has it."""
    value = getattr(record.result.config, name)
    if name in ("calibration_size", "eval_size"):
        return value or record.result.sample.size
    return value


def _still_valid(name: str, value: Any) -> bool:
    """Return whether a setting can be used here and now; it need not work, but must not be plainly wrong."""
    if name == "device":
        return value in ("auto", "cpu", accelerator())
    if name not in ("model", "data") or value in ("default", "embedded", "imdb"):
        return True
    looks_like_a_path = name == "data" or value.startswith((".", "/", "~")) or value.count("/") != 1
    try:
        return not looks_like_a_path or user_path(value).exists()
    except MpqError:
        return False
