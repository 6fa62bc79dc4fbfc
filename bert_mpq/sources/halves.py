"""Which half a review belongs to."""

import hashlib
from typing import Literal

import numpy as np

from bert_mpq.compute.reviews import Reviews

Split = Literal["calibration", "evaluation"]


def is_held_out(text: str) -> bool:
    """Return whether a review belongs to the held-out half: a rule without seed, order or file.

    Held out = the lowest bit of the first byte of the SHA-256 of the UTF-8 text is 1.
    """
    return bool(_digest(text)[0] & 1)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def half(reviews: Reviews, split: Split) -> Reviews:
    """Cut one set of reviews in two: distinct texts only, by ``is_held_out``."""
    digests = bytearray()  # 32 bytes a text: texts on disk need not fit into memory
    for text in reviews.texts:
        digests += _digest(text)
    _, first = np.unique(np.frombuffer(digests, "S32"), return_index=True)
    held_out = np.frombuffer(digests, np.uint8)[::32] & 1
    wanted = split == "evaluation"
    return reviews.take(np.sort(first[held_out[first] == wanted]))
