"""Run records: everything about a run in one JSON beside its artifacts."""

import dataclasses
import importlib.metadata
import platform
from typing import Any

from bert_mpq.records.decision import decide
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.json_file import json_text
from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.settings import flags
from bert_mpq.settings.config_json import to_json
from bert_mpq.settings.flag import Subcommand

RECORD_SCHEMA = "bert-mpq/run-record"
RECORD_VERSION = 1
LARGEST_RECORD = 1 << 24  # bytes; a record of a thousand layers takes 200 KB
PACKAGES = ("bert-mpq", "torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn")


def record_text(result: AnalysisResult | EvaluationResult, timestamp: str) -> str:
    """Return the JSON of a run record: no NaN in it, null where there is no value."""
    phase: Subcommand = "sensitivity" if isinstance(result, AnalysisResult) else "quantize"
    content = {
        "schema": RECORD_SCHEMA,
        "version": RECORD_VERSION,
        "phase": phase,
        "timestamp": timestamp,
        "command": flags.command_line(phase, result.config),
        "config": to_json(result.config),
        "environment": environment(result.setting.revision),
        **{key: value for key, value in dataclasses.asdict(result).items() if key != "config"},
        "seconds": result.seconds,
    }
    if isinstance(result, AnalysisResult):
        decision = decide(result)
        content["decision"] = {
            "metric": decision.metric,
            "spearman": decision.spearman,
            "sentence": decision.sentence,
        }
    if isinstance(result, EvaluationResult):
        content["sizes"] |= {name: getattr(result.sizes, name) for name in result.sizes.DERIVED}
    return json_text(content)


def version_of(package: str) -> str | None:
    """Return the version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment(revision: str) -> dict[str, Any]:
    """Return versions, platform and the commit of the model, as every record names them."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "packages": {package: version_of(package) for package in PACKAGES},
        "model_revision": revision or None,
    }
