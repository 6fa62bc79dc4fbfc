"""Sensitivity files: the JSON (layer -> score) and TXT of the script this tool replaces."""

import json
import math
import re
from pathlib import Path

from bert_mpq.records.context import file_words
from bert_mpq.records.decision import damage_correlation, decide
from bert_mpq.records.evaluation import Sensitivities
from bert_mpq.records.files import RUN_PREFIX, SENSITIVITIES, VALIDATION_PREFIX, WIDTHS_PREFIX, write_atomic
from bert_mpq.records.json_file import read_json, refusals
from bert_mpq.records.reading import analyses_in
from bert_mpq.records.sensitivity import AnalysisResult, Scores
from bert_mpq.records.template import render
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import title_of
from bert_mpq.settings.paths import user_path

TEMPLATE = Path(__file__).with_name("sensitivity.txt.jinja")
LARGEST_SENSITIVITIES = 1 << 20  # bytes; a thousand layers take 40 KB


def sensitivity_stem(words: str, metric: str) -> str:
    """Return the file name without suffix; ``words`` are of ``file_words``."""
    return f"layer_sensitivity_{words}_{metric}"


def sensitivity_path(folder: Path, result: AnalysisResult, metric: str) -> Path:
    """Return the JSON path for a metric; the defaults give the names of the script this tool replaces."""
    words = file_words(result.setting.model_word, result.setting.data_word)
    return folder / f"{sensitivity_stem(words, metric)}.json"


def write_sensitivities(folder: Path, result: AnalysisResult, scores: Scores) -> list[Path]:
    """Write the JSON and TXT of one metric, each atomically; return both paths.

    Raises:
        MpqError: E-SCORE when a layer has no score that can be used; E-READONLY or E-DISK.
    """
    check_scores(scores)
    path = sensitivity_path(folder, result, scores.metric)
    values = {f"layer_{index}": value for index, value in enumerate(scores.values)}
    content = json.dumps(values, indent=2, allow_nan=False) + "\n"
    text = write_atomic(path.with_suffix(".txt"), sensitivity_text(result, scores))
    return [write_atomic(path, content), text]


def check_scores(scores: Scores) -> None:
    """Refuse scores that an allocation cannot rest on.

    Raises:
        MpqError: E-SCORE with layer, metric and status.
    """
    for index, layer in enumerate(scores.layers):
        if not layer.usable:
            why = f": {layer.explanation}" if layer.explanation else ""
            raise MpqError(
                "E-SCORE",
                f"layer_{index} has no valid {title_of(scores.metric)} score ({layer.status}{why}).",
                "Take more reviews, or another metric.",
            )


def sensitivity_text(result: AnalysisResult, scores: Scores) -> str:
    """Return the TXT: the lines of the script this tool replaces, with more of them after ``batch_size``."""
    return render(
        TEMPLATE,
        result=result,
        scores=scores,
        config=result.config,
        setting=result.setting,
        sample=result.sample,
        spearman=damage_correlation(result, scores.metric) if result.kl else None,
        decision=decide(result),
    )


def read_sensitivities(path: Path | str) -> Sensitivities:
    """Read a sensitivity JSON, ours or that of the script this tool replaces; every key is checked.

    Raises:
        MpqError: E-NOFILE, or E-JSON with what is wrong where.
    """
    path = user_path(path)
    with refusals(path, "sensitivity file", "Run Phase 1, or pick another file."):
        values = _checked(read_json(path, LARGEST_SENSITIVITIES, "sensitivity file"))
    facts = _text_facts(path.with_suffix(".txt")) or _record_facts(path.parent, values)
    return Sensitivities(
        file_name=path.name,
        values=values,
        metric=facts.get("metric", ""),
        model_name=facts.get("model", ""),
        encoder_fingerprint=facts.get("encoder_fingerprint", ""),
        samples=facts.get("calibration_samples", ""),
        damage_correlation=facts.get("spearman_with_kl", ""),
    )


def list_sensitivity_files(output: Path | str) -> list[Path]:
    """Return the sensitivity JSONs in ``output/Sensitivities``, newest first; they may be broken."""
    files = user_path(output).joinpath(SENSITIVITIES).glob("*.json")
    other = (RUN_PREFIX, WIDTHS_PREFIX, VALIDATION_PREFIX)
    return sorted(
        (path for path in files if not path.name.startswith(other) and path.is_file()),
        key=lambda path: (-modified(path), path.name),
    )


def modified(path: Path) -> float:
    """Return when a file was written, in seconds since the epoch; 0 when it is gone."""
    return path.stat().st_mtime if path.exists() else 0.0


def _checked(content: object) -> tuple[float, ...]:
    if not isinstance(content, dict) or not content:
        raise ValueError('it must be an object like {"layer_0": 0.12}')
    for key in content:
        if not re.fullmatch(r"layer_(0|[1-9]\d{0,4})", key):
            raise ValueError(f'"{key[:40]}" is no layer')
    for index in range(len(content)):
        if f"layer_{index}" not in content:
            raise ValueError(f"layer_{index} is missing")
    return tuple(_number(f"layer_{index}", content[f"layer_{index}"]) for index in range(len(content)))


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{key} is {str(value)[:20]}, not a score of 0 or more")
    return number


def _text_facts(path: Path) -> dict[str, str]:
    """Return the ``key: value`` header lines of the TXT beside a JSON; nothing when there is none."""
    try:
        text = path.read_bytes()[:4096].decode("utf-8", "replace")
    except OSError:
        return {}
    return {key: value.strip() for key, value in re.findall(r"^(\w+): (.*)$", text, flags=re.MULTILINE)}


def _record_facts(folder: Path, values: tuple[float, ...]) -> dict[str, str]:
    """Return the same of the newest record of a run in ``folder`` that measured these very scores."""
    for record in analyses_in(folder):
        result = record.result
        metric = next((scores.metric for scores in result.scores if scores.values == values), None)
        if metric is not None:
            return {
                "metric": metric,
                "model": result.setting.model_name,
                "encoder_fingerprint": result.setting.encoder_fingerprint,
                "calibration_samples": str(result.sample.size),
            }
    return {}
