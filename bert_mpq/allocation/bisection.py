"""The smallest plan whose accuracy is good enough, by evaluating few of a frontier's plans for real."""

from collections.abc import Callable

NEIGHBOURS = 2


def smallest_passing(count: int, passes: Callable[[int], bool]) -> int | None:
    """Return the index of the smallest plan that passes; None when even the largest one does not.

    Bisection, as if accuracy rose with the size; since it does so only roughly, the next smaller plans are
    tried as well.

    Args:
        count: plans, smallest first.
        passes: evaluates a plan; called at most once for each index.
    """
    known: dict[int, bool] = {}

    def ask(index: int) -> bool:
        if index not in known:
            known[index] = passes(index)
        return known[index]

    if not count or not ask(count - 1):
        return None
    low, high = 0, count - 1  # high passes
    while low < high:
        middle = (low + high) // 2
        if ask(middle):
            high = middle
        else:
            low = middle + 1
    smaller = [index for index in range(max(0, high - 1 - NEIGHBOURS), high) if ask(index)]
    return min(smaller, default=high)
