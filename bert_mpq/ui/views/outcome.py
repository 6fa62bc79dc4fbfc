"""What a run would come to, in words: its bits and sizes, and its time by runs on this machine."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from bert_mpq.records.numbers import duration, megabytes, score_text, when
from bert_mpq.records.reading import list_analyses, list_evaluations
from bert_mpq.runs.dry_run import DryRun
from bert_mpq.runs.durations import Rate, measured_rate
from bert_mpq.runs.outcome import Outcome, outcomes_of
from bert_mpq.runs.plan import Plan, max_length
from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import RunConfig
from bert_mpq.ui.views.tables import Pairs

if TYPE_CHECKING:
    from bert_mpq.sources.classifiers import ModelSource


def outcome_text(*outcomes: Outcome) -> str:
    """Return mean bits, size and predicted KL of one outcome, or of the least and the most there can be."""
    mean = _range(f"{each.bits_per_weight:.1f}" for each in outcomes)
    ratio = _range(f"{each.whole_ratio:.2f}" for each in reversed(outcomes))
    sizes = [megabytes(each.whole_bits) for each in outcomes if each.whole_bits is not None]
    original = outcomes[0].whole_original_bits
    if original is None or not sizes:
        return f"{mean} bits a weight, encoder {ratio}x smaller"
    losses = [score_text(each.kl, 5) for each in outcomes if each.kl is not None]
    kl = f"; KL {_range(losses)}" if len(losses) == len(outcomes) else ""
    decimals = 0 if megabytes(original) >= 10 else 1
    size = _range(f"{each:.{decimals}f}" for each in sizes)
    return f"{mean} bits a weight; model {size} of {megabytes(original):.{decimals}f} MB ({ratio}x){kl}"


def plan_size(plan: Plan) -> str:
    """Return what the bits of a plan come to; "" where that is not known before the run."""
    outcomes = outcomes_of(plan)
    return outcome_text(*outcomes) if outcomes else ""


def dry_run_views(dry_run: DryRun) -> list[RenderableType]:
    """Return what a run would come to, write and take."""
    time = "never measured on this machine" if dry_run.seconds is None else f"about {about(dry_run.seconds)}"
    rows = [("Size", outcome_text(*dry_run.outcomes))] if dry_run.outcomes else []
    rows += [("Time", time), *zip_longest(["Files"], map(str, dry_run.files), fillvalue="")]
    return [Pairs(rows), Text("Dry run: nothing was run or written.")]


def _range(texts: Iterable[str]) -> str:
    return " to ".join(dict.fromkeys(texts))


def split_rate(config: RunConfig, model: "ModelSource", split: Split) -> Rate | None:
    """Return the measured rate of the phase that uses ``split``; None when there is none."""
    listed = list_analyses if split == "calibration" else list_evaluations
    return measured_rate(listed(config.output), config, model.name, max_length(config, model))


def _known_rates(plan: Plan) -> dict[Split, Rate]:
    rates = {split: split_rate(plan.config, plan.sources.model, split) for split in plan.reviews}
    return {split: rate for split, rate in rates.items() if rate is not None}


def plan_rates(plan: Plan) -> dict[Split, Rate]:
    """Return the measured rate of each part of ``plan``; empty when one was never measured."""
    known = _known_rates(plan)
    return known if len(known) == len(plan.reviews) else {}


def plan_seconds(plan: Plan) -> float | None:
    """Return how long ``plan`` should take; None when that was never measured."""
    rates = plan_rates(plan)
    return sum(rate.seconds(plan.reviews[split]) for split, rate in rates.items()) if rates else None


def stage_seconds(plan: Plan) -> dict[str, float]:
    """Return the seconds that each stage of ``plan`` should take, by name, where they were measured."""
    seconds: dict[str, float] = {}
    for split, rate in _known_rates(plan).items():
        seconds |= rate.stage_seconds(plan.reviews[split])
    return seconds


def plan_time(plan: Plan) -> str:
    """Return how long ``plan`` should take and by which run; "" when that was never measured."""
    seconds = plan_seconds(plan)
    if seconds is None:
        return ""
    newest = max(rate.timestamp for rate in plan_rates(plan).values())
    return f"about {about(seconds)}, by the run of {when(newest)}"


def about(seconds: float) -> str:
    """Return seconds without false precision: ``8 s``, ``3 min``, ``1 h 10 min``."""
    if seconds < 55:
        return duration(max(10, seconds))
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"{hours} h {rest:02d} min"
