"""How long a run will take, from the newest run like it on this machine; without one nothing is said."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.reading import AnalysisRecord, EvaluationRecord
from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.settings.config import RunConfig

START = "Start PyTorch"
# Stages that take as long for few reviews as for many.
FIXED = (START, "Load the model", "Quantize the twins", "Score layers", "Quantize")
SEARCH = "Search for the accuracy"
BEFORE, AFTER = "Evaluate FP32", "Evaluate quantized"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What a phase took on this machine.

    Args:
        fixed: seconds whatever the number of reviews.
        per_review: seconds per review.
        stages: seconds of each stage that is counted on its own, by name: of the whole run, or per review.
    """

    timestamp: str
    fixed: float
    per_review: float
    stages: Mapping[str, float]

    def seconds(self, reviews: int) -> float:
        """Return the seconds that so many reviews should take."""
        return self.fixed + self.per_review * reviews

    def stage_seconds(self, reviews: int) -> dict[str, float]:
        """Return the seconds that each stage should take, by name."""
        return {name: each * (1 if name in FIXED else reviews) for name, each in self.stages.items()}


def measured_rate(
    records: Sequence[AnalysisRecord] | Sequence[EvaluationRecord],
    config: RunConfig,
    model: str,
    max_length: int,
) -> Rate | None:
    """Return the rate of the newest record that is like the planned run; None when there is none.

    Args:
        records: records of one phase, newest first.
        model: name of its model, as the records have it.
    """
    device = accelerator() if config.device == "auto" else config.device
    for record in records:
        result = record.result
        setting = result.setting
        if (
            record.platform == platform.platform()
            and (setting.model_name, setting.max_length, setting.device, setting.precision)
            == (model, max_length, device, config.precision)
            and _alike(result, config)
        ):
            return _rate(record.timestamp, result)
    return None


def _alike(result: AnalysisResult | EvaluationResult, config: RunConfig) -> bool:
    """Return whether a run did as much with a review as the planned one will."""
    if isinstance(result, EvaluationResult):
        if (result.config.quantizer == "learned") != (config.quantizer == "learned"):
            return False
        return config.target is None or config.goal.kind != "drop"  # a search evaluates who knows how often
    mine, planned = (
        (each.scope if each.measured_widths else "", len(each.measured_widths), each.predicts)
        for each in (result.config, config)
    )
    return mine == planned


def _rate(timestamp: str, result: AnalysisResult | EvaluationResult) -> Rate:
    seconds: dict[str, float] = {}
    for stage in result.stages:
        seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    # The FP32 evaluation of an earlier run of the session is not measured again.
    seconds[BEFORE] = max(seconds.get(BEFORE, 0.0), seconds.get(AFTER, 0.0))
    seconds.pop(SEARCH, None)
    fixed = sum(seconds.get(name, 0.0) for name in FIXED)
    size = max(1, result.sample.size)
    return Rate(
        timestamp=timestamp,
        stages={name: each / (1 if name in FIXED else size) for name, each in seconds.items()},
        fixed=fixed,
        per_review=(sum(seconds.values()) - fixed) / size,
    )
