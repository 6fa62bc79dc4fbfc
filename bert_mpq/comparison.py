"""The evaluations of a folder side by side: only what was measured on the same reviews is ranked together."""

from dataclasses import dataclass
from pathlib import Path

from bert_mpq.artifacts.record_reading import EvaluationRecord, list_evaluations
from bert_mpq.results import Accuracy, EvaluationResult


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One evaluation.

    Args:
        name: file stem of its report.
        timestamp: local time, YYYYmmdd_HHMMSS.
        metric: the sensitivity metric behind the allocation; "" when unknown.
        clustering: how layers were grouped.
        group_bits: bits per group, most sensitive group first.
        quantizer: the quantizer asked for.
        accuracy: share of correct predictions after quantization.
        drop: accuracy before minus after, as a share.
        f1: F1 after quantization.
        bits_per_weight: bits per encoder weight, scales included.
        encoder_ratio: encoder weights, FP32 over quantized.
        whole_ratio: the whole model, FP32 over quantized.
        whole_bits: the whole model after quantization, in bits.
    """

    name: str
    timestamp: str
    metric: str
    clustering: str
    group_bits: tuple[int, ...]
    quantizer: str
    accuracy: float
    drop: float
    f1: float
    bits_per_weight: float
    encoder_ratio: float
    whole_ratio: float
    whole_bits: int


@dataclass(frozen=True, kw_only=True)
class ComparedGroup:
    """Evaluations of one model on the same reviews, best accuracy first, then smallest.

    Args:
        model: the model in words.
        data: the data.
        split: the split in words.
        size: reviews.
        max_length: tokens per review at most.
        before: the FP32 model on these reviews.
        whole_original_bits: the FP32 model, in bits.
        runs: the evaluations.
    """

    model: str
    data: str
    split: str
    size: int
    max_length: int
    before: Accuracy
    whole_original_bits: int
    runs: tuple[ComparedRun, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Every evaluation in a folder, newest group first."""

    folder: str
    groups: tuple[ComparedGroup, ...]


def compare(folder: Path | str = ".") -> Comparison:
    """Return the evaluations in ``folder/Evaluation``; files that are no run records are left out.

    Args:
        folder: what ``--output`` named in the runs: the folder that holds ``Evaluation/``.
    """
    groups: dict[object, list[EvaluationRecord]] = {}
    for record in list_evaluations(folder):
        groups.setdefault(_key(record.result), []).append(record)
    return Comparison(folder=str(folder), groups=tuple(map(_group, groups.values())))


def _key(result: EvaluationResult) -> tuple[object, ...]:
    """Return what must be equal for two accuracies to be comparable."""
    setting, sample = result.setting, result.sample
    return setting.model_name, setting.data_name, sample.split, sample.fingerprint, setting.max_length


def _group(records: list[EvaluationRecord]) -> ComparedGroup:
    first = records[0].result
    return ComparedGroup(
        model=first.setting.model_title,
        data=first.setting.data_name,
        split=first.sample.split,
        size=first.sample.size,
        max_length=first.setting.max_length,
        before=first.before,
        whole_original_bits=first.sizes.whole_original_bits,
        runs=tuple(sorted(map(_run, records), key=lambda run: (-run.accuracy, run.whole_bits, run.name))),
    )


def _run(record: EvaluationRecord) -> ComparedRun:
    result = record.result
    return ComparedRun(
        name=record.path.stem,
        timestamp=record.timestamp,
        metric=result.sensitivities.metric,
        clustering=result.allocation.method,
        group_bits=result.allocation.group_bits,
        quantizer=result.config.quantizer,
        accuracy=result.after.accuracy,
        drop=result.before.accuracy - result.after.accuracy,
        f1=result.after.f1,
        bits_per_weight=result.sizes.bits_per_weight,
        encoder_ratio=result.sizes.ratio,
        whole_ratio=result.sizes.whole_ratio,
        whole_bits=result.sizes.whole_bits,
    )
