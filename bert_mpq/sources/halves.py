"""Which half a review belongs to."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.choices import Split


def is_held_out(text: str) -> bool:
    """Return whether a review belongs to the held-out half: a rule without seed, order or file.

    Held out = the lowest bit of the first byte of the SHA-256 of the UTF-8 text is 1.
    """
    return bool(_digest(text)[0] & 1)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def digests_of(texts: Iterable[str]) -> npt.NDArray[np.uint8]:
    """Return the SHA-256 of each text, (n, 32): texts on disk need not fit into memory."""
    digests = bytearray()
    for text in texts:
        digests += _digest(text)
    return np.frombuffer(bytes(digests), np.uint8).reshape(-1, 32)


def distinct_rows(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the first row of each distinct text, in order; ``digests`` is (n, 32)."""
    _, first = np.unique(np.ascontiguousarray(digests).view("S32").ravel(), return_index=True)
    return np.sort(first)


def rows_of_half(digests: npt.NDArray[np.uint8], split: Split) -> npt.NDArray[np.int64]:
    """Return the rows of one half, distinct texts only, by ``is_held_out``; ``digests`` is (n, 32)."""
    rows = distinct_rows(digests)
    held_out = digests[rows, 0] & 1
    chosen: npt.NDArray[Any] = rows[held_out == (split == "evaluation")]
    return chosen


def half(reviews: Reviews, split: Split) -> Reviews:
    """Cut one set of reviews in two: distinct texts only, by ``is_held_out``."""
    return reviews.take(rows_of_half(digests_of(reviews.texts), split))
