"""What was understood of the user's data, in one line: columns, labels, reviews and splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.choices import Split
from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.settings.label_words import is_number
from bert_mpq.sources.columns import BY_COMMON_NAMES, Wanted
from bert_mpq.sources.halves import digests_of, distinct_rows, half, rows_of_half
from bert_mpq.sources.layouts import Layout, find_layout
from bert_mpq.sources.parts import Part, is_labelled, understand_part
from bert_mpq.sources.splits import SPLITS, WHOLE, choose_splits
from bert_mpq.sources.table_cache import read_cached
from bert_mpq.sources.wording import listed, shown


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was understood of the user's data.

    Args:
        calibration: the split that calibration reviews come from.
        evaluation: the split to evaluate on; the same where one is cut in two by hash.
        sizes: calibration and evaluation reviews.
        rows: reviews with a label.
        distinct: different texts among them.
        contradicting: texts among those that stand with both labels; their first row counts.
        unlabelled: splits that have no labels.
    """

    calibration: Part
    evaluation: Part
    sizes: tuple[int, int]
    rows: int
    distinct: int
    contradicting: int
    unlabelled: tuple[str, ...]

    @property
    def by_hash(self) -> bool:
        """Whether one split is cut in two."""
        return self.calibration == self.evaluation

    @property
    def parts(self) -> tuple[Part, ...]:
        """The splits in use."""
        return (self.calibration,) if self.by_hash else (self.calibration, self.evaluation)

    def reviews(self, split: Split) -> Reviews:
        """Return the reviews of one half; their texts stay on disk."""
        part = self.calibration if split == "calibration" else self.evaluation
        return half(part.reviews(), split) if self.by_hash else part.reviews()

    @property
    def line(self) -> str:
        """What was understood, as screens, ``doctor`` and the run record show it."""
        positive = sum(part.count("positive") for part in self.parts)
        left_out = sum(part.count("skip") for part in self.parts)
        rows = f"{self.rows:,} rows, {self.distinct:,} distinct, {100 * positive / self.rows:.1f} % positive"
        skipped = [f"{left_out:,} left out ({listed(self.calibration.labels('skip'))})"] if left_out else []
        both = [f"{self.contradicting:,} texts with both labels"] if self.contradicting else []
        return "; ".join([self._columns, self._positive, rows, *both, *skipped, self._splits])

    @property
    def _columns(self) -> str:
        part = self.calibration
        if part.folders:
            return f"{len(part.columns)} folders: {listed(part.columns)}"
        return f"{len(part.columns)} columns: {shown(part.text)} -> text, {shown(part.label)} -> label"

    @property
    def _positive(self) -> str:
        words = self.calibration.labels("positive")
        if all(map(is_number, words)):
            return f"positive = {listed(words)}"
        return f"{listed(words)} = 1"

    @property
    def _splits(self) -> str:
        missing = f" ({' and '.join(self.unlabelled)} without labels)" if self.unlabelled else ""
        if self.by_hash:
            return f"split by hash{missing}"
        sizes = zip(self.parts, self.sizes, strict=True)
        return ", ".join(f"{shown(part.split)}: {size:,}" for part, size in sizes) + missing


def understand(path: Path, wanted: Wanted) -> Reading:
    """Read the user's data and say what was understood.

    Raises:
        UnclearData: when it can be read in several ways.
        MpqError: E-DATA-FORMAT, E-ONE-CLASS; E-READONLY or E-DISK when the cache cannot be written.
    """
    layout = find_layout(path, wanted)
    if layout.kind == "texts" and (wanted.text_column or wanted.label_column):
        raise DataError(
            f"{shown(path.name)} holds text files, which have no columns.",
            "Leave --text-column and --label-column out.",
        )
    folders, tables = layout.kind == "texts", read_cached(layout, wanted)
    if not tables:
        raise _nothing(path, layout)
    labelled = [split for split in tables if is_labelled(tables[split], folders, wanted)]
    chosen = dict.fromkeys(choose_splits(shown(path.name), labelled or list(tables)[:1]))
    parts = {
        split: understand_part(_name(path, split), split, tables[split], folders, wanted) for split in chosen
    }
    unlabelled = [split for split in tables if split not in labelled and split in SPLITS.values()]
    return _counted(path, list(parts.values()), unlabelled)


def _nothing(path: Path, layout: Layout) -> MpqError:
    name = shown(path.name)
    if layout.kind == "texts":
        title = f"{name} holds no text files in folders named after their labels."
        return DataError(title, "Unpack it, and give what is in it.")
    return DataError(f"{name} holds no reviews.", "Give data with reviews.")


def read_file(path: Path) -> Reviews:
    """Return all reviews of one file, in its order; raises MpqError as ``understand``."""
    (table,) = read_cached(find_layout(path, BY_COMMON_NAMES), BY_COMMON_NAMES).values()
    return understand_part(shown(path.name), WHOLE, table, False, BY_COMMON_NAMES).reviews()


def _name(path: Path, split: str) -> str:
    return f"{shown(path.name)}, {shown(split)} split" if split else shown(path.name)


def _counted(path: Path, parts: Sequence[Part], unlabelled: Sequence[str]) -> Reading:
    classes = {means for part in parts for means in ("negative", "positive") if part.count(means)}
    if len(classes) < 2:
        only = next(iter(classes), "left-out")
        raise MpqError(
            "E-ONE-CLASS", f"{shown(path.name)} holds only {only} reviews.", "Give reviews of both classes."
        )
    reviews = [part.reviews() for part in parts]
    digests = [digests_of(each.texts) for each in reviews]
    if len(parts) == 1:
        sizes = (len(rows_of_half(digests[0], "calibration")), len(rows_of_half(digests[0], "evaluation")))
    else:
        sizes = (len(digests[0]), len(digests[1]))
    every, labels = np.concatenate(digests), np.concatenate([each.labels for each in reviews])
    distinct = len(distinct_rows(every))
    return Reading(
        calibration=parts[0],
        evaluation=parts[-1],
        sizes=sizes,
        rows=len(every),
        distinct=distinct,
        contradicting=sum(len(distinct_rows(every[labels == label])) for label in (0, 1)) - distinct,
        unlabelled=tuple(unlabelled),
    )
