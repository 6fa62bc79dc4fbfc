"""The clusterings beside the exact optimum, at equal size."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from bert_mpq.allocation.clustering import allocate
from bert_mpq.allocation.knapsack import Assignment
from bert_mpq.allocation.losses import FLOAT16, Cost, Losses, assignment_of
from bert_mpq.settings.choices import Grouping
from bert_mpq.settings.errors import MpqError

GROUP_COUNTS = (3, 4)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The best a clustering can do within a size.

    Args:
        assignment: bits, cost and loss of each layer.
    """

    method: Grouping
    group_bits: tuple[int, ...]
    assignment: Assignment


def best_clusterings(
    scores: Sequence[float],
    losses: Losses,
    cost: Cost,
    budget: int,
    pins: Mapping[int, int],
    protect_last: int = 0,
    max_widths: int | None = None,
) -> tuple[Candidate, ...]:
    """Return, for each clustering with 3 and with 4 groups, the bits of least loss that fit the budget.

    All falling bits per group from the probed widths and 16 are tried, so that the comparison favours the
    clusterings: their users have to guess the bits. Pinned and protected layers and the number of widths hold
    for all alike.

    Args:
        cost: packed bits of a layer at a width.
        pins: the one width of a layer.
        protect_last: this many last layers get 16 bits at least.
        max_widths: at most this many distinct widths, those of pins included; None = any number.
    """
    widths = sorted({bits for known in losses for bits in known if bits <= FLOAT16}, reverse=True)
    found = []
    for method in typing.get_args(Grouping):
        for count in GROUP_COUNTS:
            fitting = []
            for bits in combinations_with_replacement(widths, count):
                try:
                    allocation = allocate(scores, bits, method, protect_last)
                except MpqError:  # fewer distinct scores than groups
                    break
                assignment = assignment_of(losses, cost, allocation.bits, pins)
                if assignment is None or assignment.cost > budget:
                    continue
                if max_widths is None or len(set(assignment.bits)) <= max_widths:
                    fitting.append(Candidate(method=method, group_bits=bits, assignment=assignment))
            if fitting:
                found.append(min(fitting, key=lambda c: (c.assignment.loss, c.assignment.cost)))
    return tuple(found)
