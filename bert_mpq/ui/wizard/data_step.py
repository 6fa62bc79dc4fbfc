"""The data of the menu: the user's own is read before it is accepted, and what is unclear is asked."""

from typing import TYPE_CHECKING, get_args

from rich.console import Console

from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import RunConfig
from bert_mpq.sources.columns import UnclearData, wanted_of
from bert_mpq.sources.wording import shown
from bert_mpq.ui.console import output_console, working
from bert_mpq.ui.wizard.prompts import BACK, Back, Option, choose, rows_of

if TYPE_CHECKING:
    from bert_mpq.sources.reviews import DataSource

OWN_DATA = "CSV, TSV, JSON, Parquet, Arrow, or text files in pos/ and neg/"


def other_data(config: RunConfig, data: str) -> RunConfig:
    """Return ``config`` with other data: what was said of the columns and labels of the old does not hold."""
    return config.replace(data=data, text_column=None, label_column=None, labels=())


def settle_data(config: RunConfig) -> RunConfig | Back:
    """Read the data, ask what is unclear and show what was understood; BACK when the user goes back.

    Raises:
        MpqError: as ``find_reviews``.
    """
    from bert_mpq.sources.reviews import find_reviews

    output = output_console()
    while True:
        try:
            with working(output, "Reading the data"):
                source = find_reviews(config.data, wanted_of(config))
        except UnclearData as unclear:
            answered = ask_unclear(unclear, config, output)
            if isinstance(answered, Back):
                return BACK
            config = answered
        else:
            print_understood(source, output, source.understood or _halves(source))
            return config


def _halves(source: "DataSource") -> str:
    """Return the two halves of IMDB and their sizes."""
    from bert_mpq.sources.reviews import size_of

    halves = [(source.split_name(split), size_of(source, split)) for split in get_args(Split)]
    return "; ".join(f"{name}: {size:,} reviews" for name, size in halves)


def print_understood(source: "DataSource", output: Console, line: str = "") -> None:
    """Print what was understood of the user's own data, or another line about it."""
    if line := line or source.understood:
        output.print(f"Read {source.name}: {line}", markup=False, highlight=False)


def ask_unclear(unclear: UnclearData, config: RunConfig, output: Console) -> RunConfig | Back:
    """Ask what a script would have to say with a flag; return the configuration with the answer."""
    output.print(unclear.title, markup=False, highlight=False)
    if unclear.question == "labels":
        labels = _labels(unclear.options)
        return BACK if labels is None else config.replace(labels=labels)
    what = "reviews" if unclear.question == "text_column" else "labels"
    column = choose(f"Which column holds the {what}?", _as_they_are(unclear.options), None)
    return BACK if isinstance(column, Back) else config.replace(**{unclear.question: column})


def _labels(options: tuple[str, ...]) -> tuple[str, ...] | None:
    """Ask what each label means; None when the user goes back."""
    if len(options) == 2:
        positive = choose("Which label means positive?", _as_they_are(options), options[-1])
        if isinstance(positive, Back):
            return None
        return tuple(f"{each}={'positive' if each == positive else 'negative'}" for each in options)
    labels: list[str] = []
    for each in options:
        answer = choose(f"What does the label {each} mean?", MEANINGS, None)
        if isinstance(answer, Back):
            return None
        labels.append(f"{each}={answer}")
    return tuple(labels)


def _as_they_are(options: tuple[str, ...]) -> list[Option]:
    return [Option(title=shown(option), value=option) for option in options]


MEANINGS = rows_of(
    ("negative", "negative", ""),
    ("positive", "positive", ""),
    ("neither", "skip", "Its reviews are left out"),
)
