"""Which split a file belongs to, by the words in its name and in those of its folders."""

import functools
import re
from collections.abc import Collection, Sequence

from bert_mpq.settings.errors import DataError
from bert_mpq.sources.wording import listed

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
WHOLE = ""  # the split of data that has none


def split_of(parts: Sequence[str]) -> str:
    """Return the split that a path names, the word nearest to its end: train, validation, test, or ""."""
    return next((split for split in map(_split_of, reversed(parts)) if split), WHOLE)


@functools.lru_cache
def _split_of(part: str) -> str:
    words = re.split(r"[^a-z]+", part.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else WHOLE


def choose_splits(file: str, labelled: Collection[str]) -> tuple[str, str]:
    """Return the splits for calibration and for evaluation.

    They are train and test where both have labels; validation stands in for either. A single split is both:
    it is cut in two by hash.

    Args:
        labelled: the splits that have labels; at least one.

    Raises:
        MpqError: E-DATA-FORMAT for several splits of which none has a known name.
    """
    known = [name for name in labelled if name in SPLITS.values()] or list(labelled)
    if len(known) == 1:
        return known[0], known[0]
    first = next((name for name in ("train", "validation") if name in known), "")
    second = next((name for name in ("test", "validation") if name in known), "")
    if not first or not second:
        raise DataError(
            f"{file} has the splits {listed(known)}, and none is called train or test.",
            "Name them train and test, or give one of them.",
        )
    return first, second
