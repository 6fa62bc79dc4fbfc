"""The best bits for a size: an exact multiple-choice knapsack.

Every unit (an encoder layer, or a Linear module) takes exactly one of its options; the sum of the losses is
minimised while the sum of the packed bits stays within the budget. Solved to optimality by HiGHS' branch and
bound (``scipy.optimize.milp``); at most k distinct widths are one binary variable a width.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bert_mpq.allocation.quiet import quiet_stdout

LARGEST_WEIGHT = 1e4  # HiGHS calls an absolute gap of 1e-6 closed: the objective is scaled far above it
Point = TypeVar("Point")
Choices = list[tuple[int, "WidthOption"]]  # (unit, option): one binary variable each


@dataclass(frozen=True, kw_only=True)
class WidthOption:
    """A unit at one width.

    Args:
        bits: bits per weight.
        cost: bits the unit takes when packed, scales included.
        loss: damage expected, 0 or more, in any unit that adds up.
    """

    bits: int
    cost: int
    loss: float


Options = tuple[WidthOption, ...]  # of one unit


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One option for each unit.

    Args:
        options: the chosen ones, first unit first.
    """

    options: tuple[WidthOption, ...]

    @property
    def bits(self) -> tuple[int, ...]:
        """Bits per weight of each unit."""
        return tuple(option.bits for option in self.options)

    @property
    def cost(self) -> int:
        """Packed bits of all units."""
        return sum(option.cost for option in self.options)

    @property
    def loss(self) -> float:
        """Sum of the losses."""
        return math.fsum(option.loss for option in self.options)


class InfeasibleError(ValueError):
    """No assignment fits.

    Args:
        smallest: cost of the smallest assignment there is; None when no budget would do.
    """

    def __init__(self, smallest: int | None) -> None:
        super().__init__("no assignment fits the budget")
        self.smallest = smallest


def repaired(losses: Sequence[float]) -> tuple[float, ...]:
    """Return losses that never rise with the bits, and none below 0: what measuring noise may have broken.

    Args:
        losses: per width, fewest bits first.

    Raises:
        ValueError: a loss is NaN or infinite.
    """
    if not all(map(math.isfinite, losses)):
        raise ValueError("losses must be finite")
    result: list[float] = []
    for loss in reversed(losses):
        result.append(max(loss, result[-1] if result else 0.0))
    return tuple(reversed(result))


def optimum(units: Sequence[Options], budget: int, max_widths: int | None = None) -> Assignment:
    """Return the assignment of least loss that costs at most ``budget``.

    Args:
        units: the options of each unit; a pinned unit has only one.
        budget: packed bits.
        max_widths: at most this many distinct widths over all units; None = any number.

    Raises:
        InfeasibleError: the budget is too small, or the pins need more widths than allowed.
    """
    least = smallest(units, max_widths)
    if least.cost > budget:
        raise InfeasibleError(least.cost)
    best = least
    for _ in range(2):  # the second round on the scale of the first one's answer
        if best.loss <= 0.0:
            break
        limit = best.loss
        kept = [tuple(option for option in unit if option.loss <= limit) for unit in units]
        # Divided first: of the smallest floats the reciprocal is infinite.
        weights = [[option.loss / limit * LARGEST_WEIGHT for option in unit] for unit in kept]
        found = _minimise(kept, weights, budget, max_widths)
        best = min(best, found or best, key=lambda assignment: assignment.loss)
    return _thrifty(units, best, max_widths)


def smallest(units: Sequence[Options], max_widths: int | None = None) -> Assignment:
    """Return the assignment of least cost.

    Raises:
        InfeasibleError: there is none: a unit without options, or pins with more widths than allowed.
    """
    if not all(units):
        raise InfeasibleError(None)
    cheapest = tuple(min(unit, key=lambda option: (option.cost, option.loss)) for unit in units)
    if max_widths is None or len({option.bits for option in cheapest}) <= max_widths:
        return Assignment(options=cheapest)
    divisor = _divisor(option for unit in units for option in unit)
    weights = [[option.cost / divisor for option in unit] for unit in units]
    found = _minimise(units, weights, None, max_widths)
    if found is None:
        raise InfeasibleError(None)
    return found


def frontier(
    units: Sequence[Options], max_widths: int | None = None, points: int = 40
) -> tuple[Assignment, ...]:
    """Return Pareto-optimal assignments, smallest first: each costs more and loses less than the one before.

    Args:
        units: the options of each unit.
        max_widths: at most this many distinct widths.
        points: budgets to solve for, evenly spaced from the smallest to the largest assignment.

    Raises:
        InfeasibleError: there is no assignment.
    """
    low = smallest(units, max_widths).cost
    high = sum(max(option.cost for option in unit) for unit in units)
    budgets = sorted({low + (high - low) * k // max(1, points - 1) for k in range(points)})
    found = [optimum(units, budget, max_widths) for budget in budgets]
    return non_dominated(found, lambda point: (point.cost, point.loss))


def non_dominated(points: Iterable[Point], place: Callable[[Point], tuple[int, float]]) -> tuple[Point, ...]:
    """Return those that no other one beats in size and loss, which ``place`` gives, smallest first."""
    kept: list[Point] = []
    for point in sorted(points, key=place):
        if not kept or place(point)[1] < place(kept[-1])[1]:
            kept.append(point)
    return tuple(kept)


def _divisor(options: Iterable[WidthOption]) -> int:
    return math.gcd(*(option.cost for option in options)) or 1


def _thrifty(units: Sequence[Options], best: Assignment, max_widths: int | None) -> Assignment:
    """Give up bits that buy nothing, with the widths in use where their number is limited."""
    used = set(best.bits)
    chosen = []
    for unit, current in zip(units, best.options, strict=True):
        better = [
            option
            for option in unit
            if option.loss <= current.loss and (max_widths is None or option.bits in used)
        ]
        chosen.append(min(better, key=lambda option: (option.cost, option.loss)))
    return Assignment(options=tuple(chosen))


def _minimise(
    units: Sequence[Options], weights: Sequence[Sequence[float]], budget: int | None, max_widths: int | None
) -> Assignment | None:
    """Return the assignment of least total weight, or None when there is none."""
    import numpy as np
    from scipy.optimize import Bounds, milp

    choices = [(index, option) for index, unit in enumerate(units) for option in unit]
    widths = sorted({option.bits for _, option in choices}) if max_widths is not None else []
    size = len(choices) + len(widths)
    objective = np.zeros(size)
    objective[: len(choices)] = [weight for row in weights for weight in row]
    cuts: list[tuple[int, ...]] = []
    while True:
        with quiet_stdout():
            result = milp(
                objective,
                integrality=np.ones(size),
                bounds=Bounds(0, 1),
                constraints=_constraints(choices, len(units), widths, budget, max_widths, cuts),
                options={"mip_rel_gap": 1e-9},
            )
        if result.x is None:
            return None
        taken = tuple(int(k) for k in np.flatnonzero(result.x[: len(choices)] > 0.5))
        found = Assignment(options=tuple(choices[k][1] for k in taken))
        if budget is None or found.cost <= budget:
            return found
        cuts.append(taken)  # over the budget by less than the solver's tolerance: forbid just this one


def _constraints(
    choices: Choices,
    units: int,
    widths: Sequence[int],
    budget: int | None,
    max_widths: int | None,
    cuts: Sequence[Sequence[int]],
) -> list[Any]:
    """Return one option a unit; the budget; a width must be open to be used; forbidden assignments."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    n, size = len(choices), len(choices) + len(widths)
    one = np.zeros((units, size))
    one[[unit for unit, _ in choices], np.arange(n)] = 1
    constraints = [LinearConstraint(one, 1, 1)]
    if budget is not None:
        divisor = _divisor(option for _, option in choices)
        row = np.zeros((1, size))
        row[0, :n] = [option.cost // divisor for _, option in choices]
        # Costs are whole numbers, so half a unit more admits nothing new and keeps clear of tolerances.
        constraints.append(LinearConstraint(row, -np.inf, budget // divisor + 0.5))
    if widths:
        link = np.zeros((n + 1, size))
        link[np.arange(n), np.arange(n)] = 1
        link[np.arange(n), [n + widths.index(option.bits) for _, option in choices]] = -1
        link[n, n:] = 1
        constraints.append(LinearConstraint(link, -np.inf, np.r_[np.zeros(n), float(max_widths or 0)]))
    for cut in cuts:
        row = np.zeros((1, size))
        row[0, list(cut)] = 1
        constraints.append(LinearConstraint(row, -np.inf, len(cut) - 0.5))
    return constraints
