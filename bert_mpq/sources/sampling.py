"""Drawing a sample: seeded, and never the first n rows, which in IMDB are all of one class."""

import numpy as np

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.choices import Sampling
from bert_mpq.settings.errors import MpqError


def check_size(size: int | None, available: int) -> int:
    """Return the number of reviews that ``size`` means (None = all).

    Raises:
        MpqError: E-DATA-SIZE when the split has fewer.
    """
    if not available:
        raise MpqError("E-DATA-SIZE", "The split has no reviews.", "Give a larger file.")
    if size is None:
        return available
    if size > available:
        raise MpqError(
            "E-DATA-SIZE",
            f"{size:,} asked, but the split has {available:,} reviews.",
            f"Choose {available:,} or fewer.",
        )
    return size


def sample(reviews: Reviews, size: int | None, sampling: Sampling, seed: int) -> Reviews:
    """Draw ``size`` reviews without replacement, in random order.

    ``random`` draws from all; ``stratified`` takes equal numbers per class as far as the smaller class
    reaches. Both depend on the seed and the split alone.

    Raises:
        MpqError: E-DATA-SIZE; E-ONE-CLASS when the sample holds one class only.
    """
    count = check_size(size, len(reviews))
    _check_classes(reviews, "split", "Give a split with reviews of both classes.")
    order = np.random.default_rng(seed).permutation(len(reviews))
    labels = np.asarray(reviews.labels)[order]
    if sampling == "stratified":
        positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
        from_positive = min(count // 2, len(positive))
        from_negative = min(count - from_positive, len(negative))
        from_positive = count - from_negative
        chosen = np.sort(np.concatenate([positive[:from_positive], negative[:from_negative]]))
    else:
        chosen = np.arange(count)
    drawn = reviews.take(order[chosen])
    _check_classes(drawn, "sample", "Choose stratified sampling, or more reviews.")
    return drawn


def _check_classes(reviews: Reviews, what: str, hint: str) -> None:
    if len(set(reviews.labels)) < 2:
        only = "positive" if reviews.labels[0] else "negative"
        raise MpqError("E-ONE-CLASS", f"The {what} holds only {only} reviews.", hint)
