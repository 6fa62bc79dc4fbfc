"""What a run would do: its sizes, files and time, without running it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.records.context import file_words
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.evaluation_report import stem_of
from bert_mpq.records.files import EVALUATION, RUN_PREFIX, SENSITIVITIES, VALIDATION_PREFIX, WIDTHS_PREFIX
from bert_mpq.records.sensitivity_file import sensitivity_stem
from bert_mpq.runs.outcome import Outcome, outcomes_of
from bert_mpq.runs.plan import (
    PRESETS,
    AnalysisPlan,
    EvaluationPlan,
    FullPlan,
    Plan,
    QuantizationPlan,
    SweepPlan,
    ValidationPlan,
)
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.quantizers import needs_calibration

TIME = "TIME"  # stands for the time of the run in the names of files
SOME = "N"  # stands for the number of groups that a budget will have


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a command would do.

    Args:
        command: the shell command that does it.
        reviews: of each split.
        bits: of each layer; empty where they are not known before the run.
        outcomes: what the bits come to: one, the least and the most, or none that is known.
        files: that it would write; TIME stands for the time of the run.
        seconds: by the newest run like it on this machine; None where there is none.
    """

    command: str
    reviews: Mapping[str, int]
    bits: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    files: tuple[Path, ...]
    seconds: float | None


def dry_run(plan: Plan, seconds: float | None) -> DryRun:
    """Return what ``plan`` would do; ``seconds`` is what it should take."""
    return DryRun(
        command=plan.repeat,
        reviews={str(split): size for split, size in plan.reviews.items()},
        bits=planned_bits(plan),
        outcomes=outcomes_of(plan),
        files=tuple(user_path(plan.config.output) / name for name in _names(plan)),
        seconds=seconds,
    )


def planned_bits(plan: Plan) -> tuple[int, ...]:
    """Return the bits of each layer; empty where they are not known before the run."""
    if isinstance(plan, QuantizationPlan) and isinstance(plan.allocation, BitAllocation):
        return plan.allocation.bits
    return ()


def _names(plan: Plan) -> Iterator[str]:
    """Yield the files that a run would write if all its scores are valid."""
    words = file_words(plan.sources.model.word, plan.sources.data.word)
    first = plan.first if isinstance(plan, FullPlan) else plan
    if isinstance(first, AnalysisPlan):
        for metric in first.config.metrics:
            yield from _each(f"{SENSITIVITIES}/{sensitivity_stem(words, metric)}", ".json", ".txt")
        several = len(first.config.widths) > 1
        yield from (f"{SENSITIVITIES}/{WIDTHS_PREFIX}{TIME}.json" for _ in range(several))
        yield f"{SENSITIVITIES}/{RUN_PREFIX}{TIME}.json"
    if isinstance(plan, ValidationPlan):
        yield f"{SENSITIVITIES}/{VALIDATION_PREFIX}{TIME}.json"
    if isinstance(plan, SweepPlan):
        for preset in (each for each in PRESETS for _ in each.metrics):
            yield from _evaluation(plan, words, plan.config.clustering, len(preset.bits), {*preset.bits})
            for _ in ("layer", "linear"):
                yield from _evaluation(plan, words, "budget", SOME, {*first.config.widths})
        yield f"{EVALUATION}/sweep_{TIME}.md"
    elif isinstance(plan, EvaluationPlan):
        budget = plan.config.clustering == "budget"
        bits = planned_bits(plan) or (plan.config.widths if budget else plan.config.bits)
        groups = len({*bits}) if budget and planned_bits(plan) else SOME if budget else len(plan.config.bits)
        yield from _evaluation(plan, words, plan.config.clustering, groups, {*bits})


def _evaluation(
    plan: EvaluationPlan, words: str, method: str, groups: int | str, bits: set[int]
) -> Iterator[str]:
    kept = plan.training or needs_calibration(plan.config.quantizer, bits)
    weights = [".safetensors"] if kept else []
    yield from _each(f"{EVALUATION}/{stem_of(words, method, groups, TIME)}", ".txt", ".json", *weights)


def _each(stem: str, *suffixes: str) -> Iterator[str]:
    return (f"{stem}{suffix}" for suffix in suffixes)
