"""What labels mean: the words that everybody knows, and those that a user explains."""

from collections.abc import Iterable, Mapping
from typing import Literal

from bert_mpq.settings.errors import UsageError, excerpt

Meaning = Literal["negative", "positive", "skip"]
MEANINGS: Mapping[str, Meaning] = {
    **dict.fromkeys(("negative", "neg", "false", "label_0", "0"), "negative"),
    **dict.fromkeys(("positive", "pos", "true", "label_1", "1"), "positive"),
}
EXAMPLE = "1=negative,2=positive"


def label_key(value: object) -> str:
    """Return a label as it is compared: without case, blanks around it, or the ``.0`` of a whole number."""
    text = str(value).strip().casefold()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else text


def is_number(label: str) -> bool:
    """Return whether a label is written as a number."""
    try:
        float(label)
    except ValueError:
        return False
    return True


def meaning(value: object) -> Meaning | None:
    """Return what a label means by itself (negative / neg / False / LABEL_0 / 0 ...); None when unknown."""
    return MEANINGS.get(label_key(value))


def parse_labels(items: Iterable[str]) -> dict[str, Meaning]:
    """Read ``1=negative``, ``2=positive`` and ``3=skip`` (leave such reviews out), by ``label_key``.

    Raises:
        UsageError: E-CONFIG for anything else, a label named twice, or no label for one of the two classes.
    """
    hint = f"Write {EXAMPLE}; 3=skip leaves reviews out."
    meanings: dict[str, Meaning] = {}
    for item in items:
        value, _, word = item.rpartition("=")
        means = "skip" if word.strip().casefold() == "skip" else MEANINGS.get(word.strip().casefold())
        if not value.strip() or means is None:
            raise UsageError("E-CONFIG", f"--labels cannot be read at {excerpt(item)!r}.", hint)
        key = label_key(value)
        if key in meanings:
            raise UsageError("E-CONFIG", f"--labels names {excerpt(value)!r} twice.", hint)
        meanings[key] = means
    missing = {"negative", "positive"} - set(meanings.values())
    if meanings and missing:
        raise UsageError("E-CONFIG", f"--labels names no label that means {sorted(missing)[0]}.", hint)
    return meanings
