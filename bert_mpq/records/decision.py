"""Which metric decides the bits, and why: evidence does, where there is any.

Where the damage was measured (the KL of the logits of every layer), the metric decides that orders the layers
most like it, by Spearman's rank correlation at the first probed width; of equal ones the first named. KL,
where it is chosen, is that damage itself. A metric that was chosen alone decides always, and a run that
stopped when the allocation of its first metric was stable keeps to that. Without a measured damage the first
metric decides that has enough reviews.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bert_mpq.records.sensitivity import AnalysisResult, Scores
from bert_mpq.settings.metrics import METRICS, Metric

DAMAGE: Metric = "kl"
UNVERIFIED = "No damage was measured: the choice is unverified."


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The scores that decide.

    Args:
        scores: of the metric that decides.
        spearman: their rank correlation with the measured damage; None where there is none.
        sentence: names the metric, and why it decides.
    """

    scores: Scores
    spearman: float | None
    sentence: str

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.scores.metric


def decide(result: AnalysisResult, metrics: Collection[Metric] | None = None) -> Decision:
    """Return what decides among the scores of a run.

    Args:
        metrics: those to choose from; default all that were asked for.
    """
    scores = [entry for entry in result.scores if metrics is None or entry.metric in metrics]
    chosen, why = _choice(result, scores)
    own = damage_correlation(result, chosen.metric)
    parts = [f"{METRICS[chosen.metric].title} decides: {why}"]
    if own is not None and chosen.metric != DAMAGE:
        parts[0] += f" {own:+.2f}"
    found = {entry.metric: damage_correlation(result, entry.metric) for entry in scores}
    others = [
        f"{METRICS[metric].title} {value:+.2f}"
        for metric, value in found.items()
        if value is not None and metric not in (chosen.metric, DAMAGE)
    ]
    sentence = f"{'; '.join([*parts, *([', '.join(others)] if others else [])])}."
    return Decision(
        scores=chosen, spearman=own, sentence=sentence if result.kl else f"{sentence} {UNVERIFIED}"
    )


def damage_correlation(result: AnalysisResult, metric: Metric) -> float | None:
    """Return the rank correlation of a metric with the measured KL; None where there is none."""
    if metric == DAMAGE:
        return 1.0
    return next(
        (pair.spearman for pair in result.agreement if {pair.first, pair.second} == {metric, DAMAGE}), None
    )


def _choice(result: AnalysisResult, scores: Sequence[Scores]) -> tuple[Scores, str]:
    """Return the scores that decide, and why; what follows the words is their rank correlation."""
    first = scores[0]
    known = damage_correlation(result, first.metric) is not None and first.metric != DAMAGE
    compared = "; rank correlation with the measured damage" if known else ""
    if len(scores) == 1:
        return first, f"it was chosen alone{compared}"
    if result.config.until_stable:
        return first, f"the run stopped when its bits were stable{compared}"
    allowed = [entry for entry in scores if METRICS[entry.metric].may_take_over]
    if result.kl:
        return _by_evidence(result, allowed)
    chosen = next((entry for entry in [first, *allowed] if entry.enough_reviews), first)
    if chosen is first:
        return first, "it was named first"
    passed_over = METRICS[first.metric].title
    few = f"too few reviews for {passed_over}"
    return chosen, few if first.usable else f"{passed_over} has no valid scores"


def _by_evidence(result: AnalysisResult, allowed: Sequence[Scores]) -> tuple[Scores, str]:
    """Return the scores that order the layers most like the measured damage."""
    sound = [entry for entry in allowed if entry.enough_reviews]
    sound = sound or [entry for entry in allowed if entry.usable] or list(allowed)
    for entry in sound:
        if entry.metric == DAMAGE:
            return entry, "it is the measured damage"

    def likeness(entry: Scores) -> float:
        value = damage_correlation(result, entry.metric)
        return -2.0 if value is None else value

    best = max(sound, key=likeness)
    if likeness(best) < -1.0:
        return best, "no score can be held against the measured damage"
    if likeness(max(allowed, key=likeness)) > likeness(best):
        return best, "of those with enough reviews it orders the layers most like the measured damage,"
    return best, "it orders the layers as the measured damage does,"
