"""The metrics: their words, the reviews they need, and what they may decide.

A new metric is an entry here, a file in ``bert_mpq.similarity`` and a line in
``bert_mpq.sensitivity.estimates``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bert_mpq.settings.errors import MpqError

Metric = Literal["pwcca", "svcca", "cka", "debiased_cka", "kl", "predicted"]
Rows = Literal["reviews", "tokens"]  # what is compared: a row per review, or one per token
FEWEST = 4  # reviews that every metric needs
FRUGAL: Metric = "cka"  # the one to take where there are few reviews
COMPARED: tuple[Metric, ...] = ("pwcca", "svcca", "cka")  # where metrics are held against each other


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """What there is to know of a metric without computing it.

    Args:
        menu: what the menu says of it; "" keeps it out of the menu.
        full_ranks: it is saturated, and means nothing, below this many times the hidden size plus 1 reviews.
        may_take_over: whether it decides the bits where a metric named before it has too few reviews.
        of_logits: it is the divergence of the logits in nats, not 1 - a similarity of two layers.
        measured: whether quantized layers are run for it; else a backward pass of the FP32 model predicts it.
    """

    title: str
    menu: str = ""
    full_ranks: int = 0
    may_take_over: bool = True
    of_logits: bool = False
    measured: bool = True

    @property
    def loss_title(self) -> str:
        """What the score of a layer is called: ``1 - CKA``, ``KL of the logits``."""
        return f"{self.title} of the logits" if self.of_logits else f"1 - {self.title}"

    def least(self, hidden: int) -> int:
        """Return the fewest rows of a model's hidden size that give it a meaning."""
        return self.full_ranks * hidden + 1 if self.full_ranks else FEWEST


METRICS: dict[Metric, MetricFacts] = {
    "pwcca": MetricFacts(
        title="PWCCA", menu="Canonical correlations, weighted by what they explain", full_ranks=2
    ),
    # It predicts the damage worst (``bert-mpq validate``).
    "svcca": MetricFacts(
        title="SVCCA", menu="Canonical correlations of the main directions", may_take_over=False
    ),
    "cka": MetricFacts(title="CKA", menu="Kernel alignment: robust, few reviews suffice"),
    "debiased_cka": MetricFacts(title="debiased CKA"),
    "kl": MetricFacts(title="KL", of_logits=True),
    "predicted": MetricFacts(
        title="Predicted KL",
        menu="Predicted damage: about 4 forward passes, whatever the widths",
        of_logits=True,
        measured=False,
    ),
}
SEVERAL: tuple[tuple[str, tuple[Metric, ...], str], ...] = (
    ("PWCCA + CKA (recommended)", ("pwcca", "cka"), "Weighted canonical correlations, and a check"),
    ("All three (PWCCA + SVCCA + CKA)", COMPARED, "To compare them"),
)


def menu_rows() -> list[tuple[str, tuple[Metric, ...], str]]:
    """Return what the menu offers: title, metrics and description; the recommended row first."""
    alone: list[tuple[str, tuple[Metric, ...], str]] = [
        (f"{facts.title} only", (metric,), facts.menu) for metric, facts in METRICS.items() if facts.menu
    ]
    return [SEVERAL[0], *alone, *SEVERAL[1:]]


def title_of(metric: str, unknown: str | None = None) -> str:
    """Return a metric's name; ``unknown``, else the word itself, where a file names one that is not ours."""
    for name, facts in METRICS.items():
        if name == metric:
            return facts.title
    return metric if unknown is None else unknown


def titles_of(metrics: Iterable[Metric]) -> str:
    """Return several names: ``PWCCA + CKA``."""
    return " + ".join(METRICS[metric].title for metric in metrics)


def required_reviews(metrics: Iterable[Metric], hidden: int, rows: Rows = "reviews") -> int:
    """Return the fewest reviews that give every metric a meaning.

    Where every token is a row a few reviews have enough of them.
    """
    return FEWEST if rows == "tokens" else max(METRICS[metric].least(hidden) for metric in metrics)


def check_required(metrics: Iterable[Metric], hidden: int, size: int, rows: Rows = "reviews") -> None:
    """Refuse a sample on which a metric means nothing; raises MpqError E-DATA-SIZE."""
    facts = max((METRICS[metric] for metric in metrics), key=lambda facts: facts.least(hidden))
    needed = FEWEST if rows == "tokens" else facts.least(hidden)
    if size >= needed:
        return
    if needed == FEWEST:
        raise MpqError("E-DATA-SIZE", f"{size} reviews are too few.", f"Take at least {needed}.")
    raise MpqError(
        "E-DATA-SIZE",
        f"{facts.title} needs at least {needed:,} reviews for this model ({facts.full_ranks} x {hidden} + 1),"
        f" {size:,} asked.",
        f"Take more reviews, or {METRICS[FRUGAL].title}.",
    )
