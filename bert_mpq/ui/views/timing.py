"""Estimates in words, each from a measured run on this machine."""

from typing import TYPE_CHECKING

from bert_mpq.records.numbers import duration, when
from bert_mpq.records.reading import list_analyses, list_evaluations
from bert_mpq.runs.durations import Rate, measured_rate
from bert_mpq.runs.plan import Plan, max_length
from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import RunConfig

if TYPE_CHECKING:
    from bert_mpq.sources.classifiers import ModelSource


def split_rate(config: RunConfig, model: "ModelSource", split: Split) -> Rate | None:
    """Return the measured rate of the phase that uses ``split``; None when there is none."""
    listed = list_analyses if split == "calibration" else list_evaluations
    return measured_rate(listed(config.output), config, model.name, max_length(config, model))


def plan_rates(plan: Plan) -> dict[Split, Rate]:
    """Return the measured rate of each part of ``plan``; empty when one was never measured."""
    rates = {split: split_rate(plan.config, plan.sources.model, split) for split in plan.reviews}
    known = {split: rate for split, rate in rates.items() if rate is not None}
    return known if len(known) == len(rates) else {}


def plan_seconds(plan: Plan) -> float | None:
    """Return how long ``plan`` should take; None when that was never measured."""
    rates = plan_rates(plan)
    return sum(rate.seconds(plan.reviews[split]) for split, rate in rates.items()) if rates else None


def stage_seconds(plan: Plan) -> dict[str, float]:
    """Return the seconds that each stage of ``plan`` should take, by name, where they were measured."""
    seconds: dict[str, float] = {}
    for split, size in plan.reviews.items():
        rate = split_rate(plan.config, plan.sources.model, split)
        seconds |= rate.stage_seconds(size) if rate else {}
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
