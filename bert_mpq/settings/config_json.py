"""A ``RunConfig`` as JSON values, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError


def to_json(config: RunConfig) -> dict[str, Any]:
    """Return ``config`` as JSON values, one key per field."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config).items()
    }


def from_json(values: object) -> RunConfig:
    """Read what ``to_json`` returned; absent keys keep their defaults.

    Raises:
        MpqError: E-CONFIG, for a key or a type that no RunConfig has.
    """
    if not isinstance(values, Mapping):
        raise MpqError("E-CONFIG", "The configuration is not a JSON object.")
    known = {field.name for field in dataclasses.fields(RunConfig)}
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise MpqError("E-CONFIG", f'"{unknown[0]}" is no setting of a run.', "See bert-mpq run --help.")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    if type(given.get("probe_bits")) is int:  # one width may stand without brackets
        given["probe_bits"] = (given["probe_bits"],)
    return RunConfig(**given)
