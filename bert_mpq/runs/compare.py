"""The evaluations of a folder side by side: only what was measured on the same reviews is ranked together."""

from dataclasses import dataclass, replace
from pathlib import Path

from bert_mpq.allocation.losses import FLOAT32
from bert_mpq.records.evaluation import Accuracy, EvaluationResult
from bert_mpq.records.reading import EvaluationRecord, list_evaluations
from bert_mpq.records.width_scores import WidthScores, list_width_scores
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One evaluation.

    Args:
        name: file stem of its report.
        timestamp: local time, YYYYmmdd_HHMMSS.
        metric: the sensitivity metric behind the allocation; "" when unknown.
        drop: accuracy before minus after, as a share.
        encoder_ratio: encoder weights, FP32 over quantized.
        whole_ratio: the whole model, FP32 over quantized.
        whole_bits: the whole model after quantization, in bits.
        bits: bits of each layer; the mean of its Linears' where these differ.
        pareto: whether no other evaluation of the group is as small and more accurate, or as accurate and
            smaller.
        loss_over_optimum: summed loss of its bits over that of the exact optimum at the same size, by the
            newest scores at several widths of this model; 1 = the optimum, None = no such scores, or a width
            that they do not have.
    """

    name: str
    timestamp: str
    metric: str
    clustering: str
    group_bits: tuple[int, ...]
    quantizer: str
    embeddings: EmbeddingPrecision
    accuracy: float
    drop: float
    f1: float
    bits_per_weight: float
    encoder_ratio: float
    whole_ratio: float
    whole_bits: int
    bits: tuple[float, ...]
    trained: bool
    pareto: bool = False
    loss_over_optimum: float | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedGroup:
    """Evaluations of one model on the same reviews, best accuracy first, then smallest.

    Args:
        before: the FP32 model on these reviews.
        whole_original_bits: the FP32 model, in bits.
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
    scores = list_width_scores(folder)
    return Comparison(
        folder=str(folder), groups=tuple(_group(records, scores) for records in groups.values())
    )


def _key(result: EvaluationResult) -> tuple[object, ...]:
    """Return what must be equal for two accuracies to be comparable."""
    setting, sample = result.setting, result.sample
    return setting.model_name, setting.data_name, sample.split, sample.fingerprint, setting.max_length


def _group(records: list[EvaluationRecord], scores: list[WidthScores]) -> ComparedGroup:
    first = records[0].result
    fitting = next((each for each in scores if each.model_name == first.setting.model_name), None)
    runs = [_run(record, fitting) for record in records]
    marked = [replace(run, pareto=not any(_beats(other, run) for other in runs)) for run in runs]
    return ComparedGroup(
        model=first.setting.model_title,
        data=first.setting.data_name,
        split=first.sample.split,
        size=first.sample.size,
        max_length=first.setting.max_length,
        before=first.before,
        whole_original_bits=first.sizes.whole_original_bits,
        runs=tuple(sorted(marked, key=lambda run: (-run.accuracy, run.whole_bits, run.name))),
    )


def _beats(run: ComparedRun, other: ComparedRun) -> bool:
    better = run.accuracy > other.accuracy or run.whole_bits < other.whole_bits
    return better and run.accuracy >= other.accuracy and run.whole_bits <= other.whole_bits


def _run(record: EvaluationRecord, scores: WidthScores | None) -> ComparedRun:
    result = record.result
    after = result.final
    return ComparedRun(
        name=record.path.stem,
        timestamp=record.timestamp,
        metric=result.sensitivities.metric,
        clustering=result.allocation.method,
        group_bits=result.allocation.group_bits,
        quantizer=result.config.quantizer,
        embeddings=result.embeddings,
        accuracy=after.accuracy,
        drop=result.before.accuracy - after.accuracy,
        f1=after.f1,
        bits_per_weight=result.sizes.bits_per_weight,
        encoder_ratio=result.sizes.ratio,
        whole_ratio=result.sizes.whole_ratio,
        whole_bits=result.sizes.whole_bits,
        bits=tuple(sum(widths) / len(widths) for widths in result.allocation.by_layer),
        trained=result.trained is not None,
        loss_over_optimum=None if scores is None else loss_over_optimum(result, scores),
    )


def loss_over_optimum(result: EvaluationResult, scores: WidthScores) -> float | None:
    """Return the summed loss of an evaluation's bits over that of the exact optimum at the same size.

    Returns:
        1 or more; None when the scores lack a width or the score that budgets go by, or are of other layers.
    """
    from bert_mpq.allocation.budget import make_budget
    from bert_mpq.allocation.knapsack import optimum

    allocation, outline = result.allocation, scores.outline
    try:
        budget = make_budget(result.config.replace(pin=(), protect_last=0, max_widths=None), scores)
        mine = budget.assignment(outline.bits_by_name(allocation.bits, allocation.granularity, tie=False))
    except (MpqError, ValueError):  # other layers, no such score, or a width that was not probed
        return None
    # 32 bits are an option where they are in use, so that the optimum never has less to choose from.
    options = tuple(
        (*each, option) if option.bits == FLOAT32 else each
        for each, option in zip(budget.options, mine.options, strict=True)
    )
    best = optimum(options, mine.cost)
    if not best.loss:
        return None if mine.loss else 1.0
    return max(mine.loss / best.loss, 1.0)
