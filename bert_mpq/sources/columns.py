"""Which column holds the reviews and which the labels: by common names, or as the user says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.settings.label_words import Meaning, parse_labels
from bert_mpq.sources.wording import listed, shown

TEXT_NAMES: tuple[str, ...] = ("text", "texts", "review", "reviews", "reviewtext", "reviewbody", "sentence")
TEXT_NAMES += ("sentences", "content", "reviewcontent", "comment", "comments", "commenttext", "body")
TEXT_NAMES += ("document", "message", "tweet", "tweettext", "phrase")
LABEL_NAMES: tuple[str, ...] = ("label", "labels", "labeltext", "labelname", "labelid", "class", "target")
LABEL_NAMES += ("sentiment", "sentiments", "sentimentlabel", "polarity", "category", "rating", "stars")
LABEL_NAMES += ("score", "y")
Question = Literal["text_column", "label_column", "labels"]
Kind = Literal["text", "label"]
QUESTIONS: dict[Kind, Question] = {"text": "text_column", "label": "label_column"}
HOLDS: dict[Kind, str] = {"text": "reviews", "label": "labels"}


class UnclearData(MpqError):
    """The data can be read in more than one way: the wizard asks, a script stops.

    Args:
        question: the setting that would answer it.
        options: the columns, or the labels, to choose from.
    """

    def __init__(self, title: str, hint: str, question: Question, options: Sequence[str]) -> None:
        super().__init__("E-DATA-FORMAT", title, hint)
        self.question = question
        self.options = tuple(options)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user says about the data.

    Args:
        text_column: name of the column with the reviews; None = by its common name.
        label_column: name of the column with the labels; None = by its common name.
        labels: what labels mean, as ``1=negative``, ``2=positive``, ``3=skip``; empty = by common words.
    """

    text_column: str | None = None
    label_column: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What the user says that labels mean."""
        return parse_labels(self.labels)

    def text_columns(self, names: Sequence[str]) -> list[str]:
        """Return the columns that may hold the reviews."""
        return _matching(names, self.text_column, TEXT_NAMES)

    def label_columns(self, names: Sequence[str]) -> list[str]:
        """Return the columns that may hold the labels."""
        return _matching(names, self.label_column, LABEL_NAMES)

    def recognised(self, names: Sequence[str]) -> int:
        """Return how many of the two kinds of columns a header has."""
        return bool(self.text_columns(names)) + bool(self.label_columns(names))


BY_COMMON_NAMES = Wanted()


def wanted_of(config: RunConfig) -> Wanted:
    """Return what a configuration says about the data."""
    return Wanted(text_column=config.text_column, label_column=config.label_column, labels=config.labels)


def _matching(names: Sequence[str], wanted: str | None, common: Sequence[str]) -> list[str]:
    if wanted is None:
        return [name for name in names if squeezed(name) in common]
    same = [name for name in names if name.strip() == wanted.strip()]
    return same or [name for name in names if squeezed(name) == squeezed(wanted)]


def squeezed(name: str) -> str:
    """Return the letters and digits of a name in lower case: ``Review Text`` is like ``review_text``."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def text_column(file: str, wanted: Wanted, names: Sequence[str], of_text: Sequence[str]) -> str:
    """Return the column that holds the reviews.

    Args:
        names: all columns.
        of_text: those that hold text.

    Raises:
        UnclearData: when there is none with a common name, or several.
        MpqError: E-DATA-FORMAT for a column named by the user that is not there, or holds no text.
    """
    found = wanted.text_columns(names)
    texts = [name for name in found if name in of_text]
    if len(texts) == 1:
        return texts[0]
    if found and not texts:
        raise DataError(f"{file}: column {shown(found[0])} holds no text.", "Use --text-column NAME.")
    raise _unclear(file, "text", wanted.text_column, texts, of_text, names)


def label_columns(file: str, wanted: Wanted, names: Sequence[str], text: str) -> list[str]:
    """Return the columns that may hold the labels.

    Raises:
        UnclearData: when there is none.
        MpqError: E-DATA-FORMAT for a column named by the user that is not there, or is that of the reviews.
    """
    found = [name for name in wanted.label_columns(names) if name != text]
    if found:
        return found
    if wanted.label_column is not None and wanted.label_columns(names):
        raise DataError(
            f"{file}: column {shown(text)} cannot hold both the reviews and the labels.",
            "Name two columns: --text-column and --label-column.",
        )
    others = [name for name in names if name != text]
    raise _unclear(file, "label", wanted.label_column, found, others, names)


def _unclear(
    file: str,
    kind: Kind,
    said: str | None,
    found: Sequence[str],
    options: Sequence[str],
    names: Sequence[str],
) -> MpqError:
    """Return the error for no column of a kind, or several; ``said`` is what the user calls it."""
    if found:
        return several_columns(file, kind, found)
    columns = f"its columns: {listed(names)}"
    if said is not None:
        return DataError(f"{file} has no column {shown(said)}.", f"I{columns[1:]}.")
    if not options:
        return DataError(
            f"{file} has no column for the {HOLDS[kind]} ({columns}).",
            "It needs one with the reviews and one with their labels.",
        )
    title = f"{file} has no column with a known name for the {HOLDS[kind]} ({columns})."
    return UnclearData(title, f"Use --{kind}-column NAME.", QUESTIONS[kind], options)


def several_columns(file: str, kind: Kind, found: Sequence[str]) -> UnclearData:
    """Return the error for several columns that may be the one."""
    title = f"{file}: the columns {listed(found)} may each hold the {HOLDS[kind]}."
    return UnclearData(title, f"Use --{kind}-column NAME.", QUESTIONS[kind], found)
