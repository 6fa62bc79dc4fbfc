"""What ``validate`` finds out about the scores."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bert_mpq.records.context import Sample, Setting, Stage, Staged
from bert_mpq.records.files import VALIDATION_PREFIX, write_new
from bert_mpq.records.json_file import json_text
from bert_mpq.records.run_record import environment
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import to_json

PREDICTS, ROUGHLY = 0.7, 0.5  # rank correlations from which a score counts as a predictor, or a rough one
Verdict = Literal["predicts", "roughly", "no", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One score of every unit at one width, and how well it ranks the damage.

    Args:
        name: ``predicted`` (from one backward pass), ``pwcca``, ``svcca``, ``cka``, ``mse`` (relative squared
            error of the output), ``weight`` (of the weights) or ``depth`` (earlier = worse).
        scope: what was compared: ``propagated`` or ``isolated``; empty for those that compare no outputs.
        values: one per unit; higher = more damage expected.
        spearman: rank correlation with the KL over the units; None where a score is invalid or constant.
    """

    name: str
    scope: str
    values: tuple[float, ...]
    spearman: float | None


@dataclass(frozen=True, kw_only=True)
class WidthValidation:
    """All predictors at one width.

    Args:
        kl: KL of the logits in nats when one unit is quantized, the truth; NaN where it was not measured.
    """

    bits: int
    kl: tuple[float, ...]
    predictors: tuple[Predictor, ...]


@dataclass(frozen=True, kw_only=True)
class SizedPlan:
    """The best plan by one score within a size, made of layers quantized one by one and evaluated as a whole.

    Args:
        size: bits per encoder weight that the plan may take, scales included.
        score: the loss that was minimised; ``uniform`` = the same width everywhere.
        kl: KL of the logits to FP32, in nats.
    """

    size: float
    score: str
    bits: tuple[int, ...]
    bits_per_weight: float
    kl: float
    agreement: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class ValidationResult(Staged):
    """The scores against the damage.

    Args:
        sample: the calibration reviews on which scores and KL were measured.
        evaluation: the reviews on which whole plans were compared.
        accuracy: of the FP32 model on these.
        units: names of the layers or Linear modules.
    """

    config: RunConfig
    setting: Setting
    sample: Sample
    evaluation: Sample
    accuracy: float
    units: tuple[str, ...]
    widths: tuple[WidthValidation, ...]
    plans: tuple[SizedPlan, ...]
    stages: tuple[Stage, ...]

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """(name, scope) of every predictor."""
        return tuple((p.name, p.scope) for p in self.widths[0].predictors)

    def spearman(self, name: str, scope: str) -> tuple[float | None, ...]:
        """Return the rank correlation of a predictor at each width."""
        return tuple(
            p.spearman
            for width in self.widths
            for p in width.predictors
            if (p.name, p.scope) == (name, scope)
        )

    def mean_spearman(self, name: str, scope: str) -> float | None:
        """Return the mean over the widths; None when it is missing at one of them."""
        values = [value for value in self.spearman(name, scope) if value is not None]
        return sum(values) / len(values) if values and len(values) == len(self.widths) else None

    def verdict(self, name: str, scope: str) -> Verdict:
        """Return whether a score predicts the damage."""
        mean = self.mean_spearman(name, scope)
        if mean is None:
            return "unknown"
        return "predicts" if mean >= PREDICTS else "roughly" if mean >= ROUGHLY else "no"

    @property
    def measured(self) -> int:
        """Units whose damage was measured at each width."""
        return sum(math.isfinite(value) for value in self.widths[0].kl)

    @property
    def chance(self) -> float:
        """The rank correlation that so many units reach by chance in one case of 20 (t approximation)."""
        from scipy.stats import t

        free = self.measured - 2
        if free < 1:
            return 1.0
        limit = float(t.ppf(0.975, free))
        return limit / float((free + limit**2) ** 0.5)


def write_validation(folder: Path, result: ValidationResult, timestamp: str) -> Path:
    """Write ``validation_{timestamp}.json``; null stands where there is no value.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    content = {
        "schema": "bert-mpq/validation",
        "version": 1,
        "timestamp": timestamp,
        "command": flags.command_line("validate", result.config),
        "environment": environment(result.setting.revision),
        **dataclasses.asdict(result),
        "config": to_json(result.config),
        "mean_spearman": [
            {"name": name, "scope": scope, "value": result.mean_spearman(name, scope)}
            for name, scope in result.names
        ],
        "seconds": result.seconds,
    }
    return write_new(folder, f"{VALIDATION_PREFIX}{timestamp}", ".json", json_text(content))
