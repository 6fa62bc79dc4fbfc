"""Records of ``validate``: ``Sensitivities/validation_{time}.json``, never overwritten."""

import dataclasses
import json
from pathlib import Path

from bert_mpq import flags
from bert_mpq.artifacts.files import write_new
from bert_mpq.artifacts.records import environment, finite
from bert_mpq.config import to_json
from bert_mpq.validation_results import ValidationResult

SCHEMA = "bert-mpq/validation"
VERSION = 1
PREFIX = "validation_"


def write_validation(folder: Path, result: ValidationResult, timestamp: str, revision: str) -> Path:
    """Write ``validation_{timestamp}.json``; null stands where there is no value.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    content = {
        "schema": SCHEMA,
        "version": VERSION,
        "timestamp": timestamp,
        "command": flags.command_line("validate", result.config),
        "environment": environment(revision),
        **dataclasses.asdict(result),
        "config": to_json(result.config),
        "mean_spearman": [
            {"name": name, "scope": scope, "value": result.mean_spearman(name, scope)}
            for name, scope in result.names
        ],
        "seconds": result.seconds,
    }
    return write_new(folder, f"{PREFIX}{timestamp}", ".json", json.dumps(finite(content), indent=2) + "\n")
