"""Layers grouped by score, and bits given to the groups.

Scores lie on a line, where a cluster is an interval of the sorted scores. So k-means is solved exactly by
dynamic programming (Wang & Song 2011, Ckmeans.1d.dp) instead of by random restarts: the same groups on every
run and machine, and instant, so that the wizard can show sizes before it asks.
"""

import math
from collections.abc import Sequence
from itertools import chain, groupby, pairwise

from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.settings.bits import check_bits
from bert_mpq.settings.choices import Clustering
from bert_mpq.settings.errors import MpqError

Groups = list[list[float]]  # distinct scores in ascending order, cut into intervals


def allocate(
    scores: Sequence[float], bits: Sequence[int], method: Clustering, protect_last: int = 0
) -> BitAllocation:
    """Group layers by score and give each group its bits.

    Args:
        scores: sensitivity per layer; higher = more fragile.
        bits: bits per group, most sensitive group first.
        protect_last: this many last layers get 16 bits at least.

    Raises:
        MpqError: E-GROUPS when the scores cannot be cut into that many groups.
        UsageError: what ``check_bits`` raises.
    """
    check_bits(bits)
    groups = group_layers(scores, len(bits), method)
    first_protected = max(0, len(scores) - protect_last)
    grouped = [bits[group] for group in groups]
    final = [max(b, 16) if layer >= first_protected else b for layer, b in enumerate(grouped)]
    return BitAllocation(
        method=method,
        group_bits=tuple(bits),
        groups=groups,
        bits=tuple(final),
        protected=tuple(layer for layer in range(len(scores)) if final[layer] != grouped[layer]),
    )


def group_layers(scores: Sequence[float], count: int, method: Clustering) -> tuple[int, ...]:
    """Return the group of each layer, 0 = most sensitive; equal scores share a group.

    Raises:
        MpqError: E-GROUPS.
        ValueError: a score is NaN or infinite, or the method is ``budget``, which groups nothing.
    """
    if method == "budget":
        raise ValueError("a budget groups no layers: see bert_mpq.allocation.budget")
    if not all(map(math.isfinite, scores)):
        raise ValueError("scores must be finite")
    distinct = sorted(set(scores))
    if len(distinct) < count:
        raise MpqError(
            "E-GROUPS",
            f"{count} groups, but only {len(distinct)} distinct scores.",
            f"Choose at most {len(distinct)}.",
        )
    cut = {"kmeans": _kmeans, "percentile": _percentile, "hierarchical": _hierarchical}[method]
    groups = cut(sorted(scores), count)
    if len(groups) != count:
        raise MpqError(
            "E-GROUPS", f"The scores fall into {len(groups)} percentile groups, not {count}.", "Use kmeans."
        )
    lowest = [group[0] for group in groups]
    return tuple(count - sum(score >= low for low in lowest) for score in scores)


def _runs(ordered: Sequence[float]) -> Groups:
    """Equal scores together: no cut may separate them."""
    return [list(run) for _, run in groupby(ordered)]


def _joined(runs: Groups) -> list[float]:
    return list(chain.from_iterable(runs))


def _kmeans(ordered: Sequence[float], count: int) -> Groups:
    """Minimise the sum of squared distances to the group means, over all cuts into intervals."""
    runs = _runs(ordered)
    n = len(runs)
    cost = [[_inertia(_joined(runs[i:j])) if i < j else 0.0 for j in range(n + 1)] for i in range(n)]
    best: list[tuple[float, list[int]]] = [(cost[0][j], [0]) for j in range(1, n + 1)]
    for groups in range(2, count + 1):
        # best[j - groups + 1]: cheapest cut of the first j runs into `groups`, with where each group starts.
        best = [
            min(
                (best[i - groups + 1][0] + cost[i][j], [*best[i - groups + 1][1], i])
                for i in range(groups - 1, j)
            )
            for j in range(groups, n + 1)
        ]
    starts = [*best[-1][1], n]
    return [_joined(runs[start:stop]) for start, stop in pairwise(starts)]


def _percentile(ordered: Sequence[float], count: int) -> Groups:
    """Cut at the quantiles 1/count, 2/count ... (linear interpolation).

    ``statistics.quantiles`` will not do: (3 x) / 3 is not always x, so an edge that is a score can come out
    above or below it.
    """
    import numpy as np

    last = len(ordered) - 1
    edges = np.interp([last * k / count for k in range(1, count)], range(len(ordered)), ordered)
    cuts = [0, *np.searchsorted(ordered, edges, side="right").tolist(), len(ordered)]
    return [list(ordered[start:stop]) for start, stop in pairwise(cuts) if start < stop]


def _hierarchical(ordered: Sequence[float], count: int) -> Groups:
    """Agglomerate with Ward's criterion: merge the two groups whose union adds the least inertia (1963)."""
    groups = _runs(ordered)
    while len(groups) > count:
        growth = [_inertia(a + b) - _inertia(a) - _inertia(b) for a, b in pairwise(groups)]
        at = growth.index(min(growth))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    return groups


def _inertia(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)
