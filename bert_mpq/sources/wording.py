"""Names out of files, fit to stand in a sentence: one line, short, and never a review."""

from collections.abc import Sequence

LONGEST = 40
MOST = 8
MOST_WORDS = 3


def shown(name: object) -> str:
    """Return a file's or a column's name on one line, its middle left out where it is long."""
    text = "".join(sign if sign.isprintable() else "?" for sign in str(name))
    return text if len(text) <= LONGEST else f"{text[:18]}...{text[-19:]}"


def listed(names: Sequence[object]) -> str:
    """Return the first few names, and how many more there are."""
    some = ", ".join(map(shown, names[:MOST]))
    return f"{some} and {len(names) - MOST} more" if len(names) > MOST else some


def is_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a column rather than a piece of a review."""
    words = text.split()
    signs = text.replace("_", "").replace("-", "").replace(".", "").replace(" ", "")
    return len(text) <= LONGEST and len(words) <= MOST_WORDS and (signs.isalnum() or not words)
