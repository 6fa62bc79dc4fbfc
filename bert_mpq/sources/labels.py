"""What the labels of a table mean: as the user says, or by the words that everybody knows."""

from collections.abc import Iterable, Mapping, Sequence

from bert_mpq.settings.errors import DataError, MpqError
from bert_mpq.settings.label_words import Meaning, is_number, label_key, meaning
from bert_mpq.sources.columns import UnclearData, Wanted
from bert_mpq.sources.wording import LONGEST, shown

MOST = 20  # different labels that somebody would explain one by one
MISSING = ("", "nan", "none", "null")
UNLABELLED = (*MISSING, "-1")
Counts = Mapping[str, int] | Mapping[str | None, int]  # rows with each label; None is a missing one


def is_unlabelled(values: Iterable[str | None], wanted: Wanted) -> bool:
    """Return whether labels say nothing: all are missing, or -1 as in test splits whose labels are secret."""
    nothing = {key for key in UNLABELLED if key not in wanted.meanings}
    return all(value is None or label_key(value) in nothing for value in values)


def known_meanings(values: Iterable[str], wanted: Wanted) -> dict[str, Meaning]:
    """Return what labels mean, as far as it is known, by label as the table has it."""
    said = wanted.meanings
    found = {value: said.get(label_key(value)) if said else meaning(value) for value in values}
    return {value: means for value, means in found.items() if means is not None}


def meanings_of(file: str, counts: Counts, wanted: Wanted) -> dict[str, Meaning]:
    """Return what every label of a column means.

    Args:
        counts: the different labels and how many rows have each; None is a missing one.

    Raises:
        UnclearData: for labels that nobody explained.
        MpqError: E-DATA-FORMAT for missing labels, and for values that are no labels.
    """
    nothing = {key for key in MISSING if key not in wanted.meanings}
    values = [value for value in counts if value is not None and label_key(value) not in nothing]
    missing = sum(counts.values()) - sum(counts[value] for value in values)
    meanings = known_meanings(values, wanted)
    unknown = [value for value in values if value not in meanings]
    if missing and not unknown:
        rows = "1 row has" if missing == 1 else f"{missing:,} rows have"
        raise DataError(f"{file}: {rows} no label.", "Label these rows, or remove them.")
    if unknown:
        raise _unknown(file, counts, values, unknown, wanted)
    return meanings


def _unknown(file: str, counts: Counts, values: list[str], unknown: list[str], wanted: Wanted) -> MpqError:
    if len(values) == 1 and _can_be_shown(counts, values):
        return MpqError(
            "E-ONE-CLASS",
            f"{file}: every review has the label {shown(values[0])}.",
            "Give reviews of both classes.",
        )
    if len(values) > MOST:
        return DataError(
            f"{file}: the label column has {len(values):,} different values, not those of two classes.",
            "Use --label-column NAME.",
        )
    if not _can_be_shown(counts, unknown):
        return DataError(
            f"{file}: the label column holds text that is no label.",
            "Use --label-column NAME, or explain the labels: --labels WORD=negative,WORD=positive.",
        )
    if any("," in value for value in values):
        return DataError(
            f"{file}: what the labels mean is not known, and --labels cannot name those with commas.",
            "Rename the labels.",
        )
    listed = ", ".join(map(shown, _sorted(unknown if wanted.labels else values)))
    plural = "s" if "," in listed else ""
    verb = "mean" if plural else "means"
    if wanted.labels:
        title = f"{file}: --labels does not say what the label{plural} {listed} {verb}."
        hint = f"Add {shown(_sorted(unknown)[0])}=negative, =positive or =skip."
    else:
        title = f"{file}: what the label{plural} {listed} {verb} is not known."
        hint = f"Use --labels={example(values)}, as they are meant."
    return UnclearData(title, hint, "labels", _sorted(values))


def _can_be_shown(counts: Counts, unknown: Sequence[str]) -> bool:
    """Return whether values are labels, not reviews: numbers, or short words that come again and again."""
    return all(
        len(value) <= LONGEST // 2 and value.isprintable() and (is_number(value) or counts[value] > 1)
        for value in unknown
    )


def _sorted(values: Sequence[str]) -> list[str]:
    numbers = all(map(is_number, values))
    return sorted(values, key=lambda value: (float(value) if numbers else 0.0, value))


def example(values: Sequence[str]) -> str:
    """Return how ``--labels`` could explain some labels: the lower half negative, a middle one left out."""
    ordered = _sorted(values)
    half, middle = divmod(len(ordered), 2)
    words = ["negative"] * half + ["skip"] * middle + ["positive"] * half
    return ",".join(f"{value.strip()}={word}" for value, word in zip(ordered, words, strict=True))
