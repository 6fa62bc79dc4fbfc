"""Scores at several widths: what a budget is planned from."""

import math
from dataclasses import dataclass

from bert_mpq.config import Metric, RunConfig
from bert_mpq.outline import Outline


@dataclass(frozen=True, kw_only=True)
class MetricTable:
    """One metric over layers and widths.

    Args:
        metric: ``kl`` or a similarity metric.
        values: (layers, widths); NaN where there is no valid score.
    """

    metric: Metric
    values: tuple[tuple[float, ...], ...]

    @property
    def usable(self) -> bool:
        """Whether an allocation may rest on it."""
        return all(math.isfinite(value) for row in self.values for value in row)


@dataclass(frozen=True, kw_only=True)
class WidthScores:
    """Phase 1 at several widths, with all that a plan needs to know of the model.

    Args:
        config: the run that measured them.
        model_name: hub id, path or ``embedded``.
        split: the calibration reviews in words.
        reviews: how many.
        outline: the shape of the model.
        widths: the probed widths, in the order asked.
        tables: one per metric, and the KL of the logits where the scope has it.
    """

    config: RunConfig
    model_name: str
    split: str
    reviews: int
    outline: Outline
    widths: tuple[int, ...]
    tables: tuple[MetricTable, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that can be planned with."""
        return tuple(table.metric for table in self.tables if table.usable)
