"""The metrics: their words, and the reviews they need."""

from bert_mpq.settings.choices import Pooling
from bert_mpq.settings.errors import MpqError

METRIC_TITLES = {"pwcca": "PWCCA", "svcca": "SVCCA", "cka": "CKA", "debiased_cka": "debiased CKA", "kl": "KL"}


def required_reviews(metrics: tuple[str, ...], hidden: int, pooling: Pooling = "mean") -> int:
    """Return the fewest reviews that give every metric a meaning: PWCCA saturates at two full ranks.

    Where every token is a row a few reviews have enough of them.
    """
    return 2 * hidden + 1 if "pwcca" in metrics and pooling != "none" else 4


def check_required(metrics: tuple[str, ...], hidden: int, size: int, pooling: Pooling = "mean") -> None:
    """Refuse a sample on which a metric means nothing.

    Raises:
        MpqError: E-DATA-SIZE.
    """
    needed = required_reviews(metrics, hidden, pooling)
    if size >= needed:
        return
    if needed > 4:
        raise MpqError(
            "E-DATA-SIZE",
            f"PWCCA needs at least {needed:,} reviews for this model (2 x {hidden} + 1), {size:,} asked.",
            "Take more reviews, or CKA.",
        )
    raise MpqError("E-DATA-SIZE", f"{size} reviews are too few.", f"Take at least {needed}.")
