"""Scores at several widths: what a budget is planned from."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.records.files import SENSITIVITIES, WIDTHS_PREFIX, write_new
from bert_mpq.records.json_file import json_text, read_json, readable, refusals, versioned
from bert_mpq.records.outline import Outline
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json, to_json
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import Metric
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.type_hints import converted


@dataclass(frozen=True, kw_only=True)
class MetricTable:
    """One metric over units and widths.

    Args:
        metric: ``kl`` or a similarity metric.
        values: (units, widths); NaN where there is no valid score.
    """

    metric: Metric
    values: tuple[tuple[float, ...], ...]

    @property
    def usable(self) -> bool:
        """Whether an allocation may rest on it."""
        return all(math.isfinite(value) for row in self.values for value in row)


@dataclass(frozen=True, kw_only=True)
class TableLosses:
    """KL of the logits, in nats, when all embedding tables alone are kept in codes.

    Args:
        reviews: calibration reviews that it was measured on.
        int8: with 8-bit codes.
        int4: with 4-bit codes.
    """

    reviews: int
    int8: float
    int4: float

    def of(self, precision: EmbeddingPrecision) -> float:
        """Return the loss of a precision; float16 counts as none."""
        return {"int8": self.int8, "int4": max(self.int4, self.int8)}.get(precision, 0.0)


@dataclass(frozen=True, kw_only=True)
class WidthScores:
    """Phase 1 at several widths, with all that a plan needs to know of the model.

    Args:
        widths: the probed widths, in the order asked.
        tables: of layers: one per metric that has all widths: the predicted damage, and the KL of the logits
            and others where they were measured.
        revision: commit of the weights on the hub where it is known, else "".
        encoder_fingerprint: SHA-256 of the FP32 encoder layers; "" in old files.
        linears: the same of Linears, in the order of ``outline``, where there are any.
        embeddings: what narrower embedding tables lose; None in old files.
    """

    config: RunConfig
    model_name: str
    split: str
    reviews: int
    outline: Outline
    widths: tuple[int, ...]
    tables: tuple[MetricTable, ...]
    revision: str = ""
    encoder_fingerprint: str = ""
    linears: tuple[MetricTable, ...] = ()
    embeddings: TableLosses | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that can be planned with."""
        return tuple(table.metric for table in self.tables if table.usable)

    def table(self, metric: str, granularity: Granularity = "layer") -> MetricTable:
        """Return one metric over layers or Linears.

        Raises:
            MpqError: E-SCORE when it was not measured, or is not valid for every one.
        """
        tables = self.tables if granularity == "layer" else self.linears
        table = next((table for table in tables if table.metric == metric), None)
        if table is None or not table.usable:
            usable = ", ".join(table.metric for table in tables if table.usable) or "none"
            what = "was not measured" if table is None else f"has no valid value for every {granularity}"
            where = "" if granularity == "layer" else " of single Linears"
            raise MpqError(
                "E-SCORE",
                f"The score {metric}{where} {what}; there are: {usable}.",
                "Use one of these with --score." if usable != "none" else "Run Phase 1 again.",
            )
        return table

    def at_first_width(self, metric: str) -> tuple[float, ...]:
        """Return the scores that stand for all widths in a report; raises as ``table``."""
        return tuple(row[0] for row in self.table(metric).values)


SCORES_SCHEMA = "bert-mpq/width-scores"
SCORES_VERSION = 1
LARGEST_SCORES = 1 << 24  # bytes; a thousand layers take 1 MB
HOW_TO_MEASURE = "Run Phase 1 with --probe-bits 4,2,3,8; it writes Sensitivities/widths_*.json."


def write_width_scores(folder: Path, scores: WidthScores, timestamp: str) -> Path:
    """Write ``widths_{timestamp}.json``; null stands where there is no valid score.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    content = {
        "schema": SCORES_SCHEMA,
        "version": SCORES_VERSION,
        **dataclasses.asdict(scores),
        "config": to_json(scores.config),
    }
    return write_new(folder, f"{WIDTHS_PREFIX}{timestamp}", ".json", json_text(content))


def is_width_file(name: Path | str) -> bool:
    """Return whether a file is named like one of these."""
    return Path(name).name.startswith(WIDTHS_PREFIX)


def list_width_files(output: Path | str) -> list[Path]:
    """Return the files of scores at several widths in ``output/Sensitivities``, newest first."""
    return sorted(user_path(output).joinpath(SENSITIVITIES).glob(f"{WIDTHS_PREFIX}*.json"), reverse=True)


def read_width_scores(name: Path | str) -> WidthScores:
    """Read what ``write_width_scores`` wrote; every value is checked.

    Raises:
        MpqError: E-NOFILE; E-BUDGET for a sensitivity file, which has the scores of one width only; E-JSON.
    """
    path = user_path(name)
    with refusals(path, "file of scores", HOW_TO_MEASURE):
        content = read_json(path, LARGEST_SCORES, "file of scores")
        if isinstance(content, dict) and "layer_0" in content:
            raise MpqError(
                "E-BUDGET",
                f"{path.name} has the scores of one width; a budget needs several.",
                HOW_TO_MEASURE,
            )
        content = versioned(content, SCORES_SCHEMA, SCORES_VERSION, "it holds no scores at several widths")
        config = from_json(content.get("config"))
        scores: WidthScores = converted(content | {"config": config}, WidthScores, "")
        _check_shape(scores)
        return scores


def list_width_scores(output: Path | str) -> list[WidthScores]:
    """Return the scores in ``output/Sensitivities`` that can be read, newest first."""
    return readable(list_width_files(output), read_width_scores)


def _check_shape(scores: WidthScores) -> None:
    widths, linears = scores.widths, scores.outline.linears
    if not widths or len(set(widths)) < len(widths):
        raise ValueError("widths must be distinct, at least one")
    layers = [linear.layer for linear in linears]
    if layers != sorted(layers) or {*layers} != {*range(len({*layers}))}:
        raise ValueError("outline.linears leaves layers out, or is not in their order")
    if any(linear.outputs < 1 or linear.inputs < 1 for linear in linears) or not linears:
        raise ValueError("outline.linears has a weight without entries")
    losses = scores.embeddings
    if losses and not all(math.isfinite(loss) and loss >= 0 for loss in (losses.int8, losses.int4)):
        raise ValueError("embeddings has a loss that is no number from 0 on")
    for tables, units, words in (
        (scores.tables, scores.outline.units(), "layers"),
        (scores.linears, linears, "Linears"),
    ):
        for table in tables:
            shape = {len(row) for row in table.values}
            if len(table.values) != len(units) or shape != {len(widths)}:
                raise ValueError(f"the scores of {table.metric} are not {words} x widths")
            if any(value < 0 for row in table.values for value in row):
                raise ValueError(f"{table.metric} has a score below 0")
