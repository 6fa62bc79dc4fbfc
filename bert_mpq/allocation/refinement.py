"""The best plan by what it really does: the predicted optimum, coarser optima and neighbours, measured whole.

The search climbs from coarse units to fine ones (layers, tied Linears, Linears). On each rung it measures the
optimum of the predicted losses, then neighbours of the best plan so far, least predicted loss first; a
neighbour that is better takes its place. So a finer plan is never worse than the coarser ones that were
measured for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.knapsack import Assignment, Options, WidthOption

Measure = Callable[[Mapping[str, int]], float]  # bits of every Linear -> loss of the whole plan
Steps = Mapping[int, int]  # by unit: widths up (positive) or down


class Search:
    """Plans of one size, and the loss of each that was measured.

    Args:
        budget: the problem; its target names a size.
        passes: plans to measure at most.
    """

    def __init__(self, budget: Budget, passes: int) -> None:
        self.budget = budget
        self.passes = passes
        self.measured: dict[tuple[int, ...], float] = {}  # by the bits of every Linear
        self.optimum: tuple[int, ...] = ()  # that of the finest units

    def run(self, measure: Measure) -> Iterator[float]:
        """Yield the loss of each plan as it is measured.

        Raises:
            MpqError: E-BUDGET when no plan is small enough.
        """
        rungs = (*self.budget.coarser, self.budget)[-self.passes :]
        for number, rung in enumerate(rungs, 1):
            yield from self._climb(rung, self.passes * number // len(rungs), measure)

    @property
    def best(self) -> dict[str, int]:
        """The plan with the least loss, as bits of every Linear by its name."""
        bits = min(self.measured, key=self.measured.__getitem__)
        return dict(zip((linear.name for linear in self.budget.outline.linears), bits, strict=True))

    def _climb(self, rung: Budget, allowed: int, measure: Measure) -> Iterator[float]:
        goal = rung.config.goal
        start = rung.by_name(rung.best(goal).bits)
        self.optimum = self._key(start)
        if self.optimum not in self.measured:
            yield self._measure(start, measure)
        while len(self.measured) < allowed:
            center = rung.assignment(self.best)
            steps = neighbours(rung.options, center, rung.limit(goal), rung.config.max_widths)
            plans = (rung.by_name(step.bits) for step in steps)
            fresh = next((plan for plan in plans if self._key(plan) not in self.measured), None)
            if fresh is None:
                return
            yield self._measure(fresh, measure)

    def _measure(self, plan: Mapping[str, int], measure: Measure) -> float:
        loss = self.measured[self._key(plan)] = measure(plan)
        return loss

    def _key(self, plan: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(plan[linear.name] for linear in self.budget.outline.linears)


def neighbours(
    options: Sequence[Options], center: Assignment, limit: int, max_widths: int | None = None
) -> Iterator[Assignment]:
    """Yield assignments one step away that cost at most ``limit``, least predicted loss first.

    A step takes a unit one width up and others down to make room, or one down; what is left is filled.

    Args:
        options: of each unit, fewest bits first.
        center: an assignment.
    """
    places = [unit.index(option) for unit, option in zip(options, center.options, strict=True)]

    def change(steps: Steps) -> tuple[float, int]:
        pairs = [(options[k][places[k] + step], center.options[k]) for k, step in steps.items()]
        return sum(a.loss - b.loss for a, b in pairs), sum(a.cost - b.cost for a, b in pairs)

    ups = [k for k, unit in enumerate(options) if places[k] + 1 < len(unit)]
    downs = [k for k, place in enumerate(places) if place]
    cheapest = sorted(downs, key=lambda k: change({k: -1})[0] / -change({k: -1})[1])
    tried: list[Steps] = [{k: -1} for k in downs]
    for up in ups:
        tried += [{up: 1}, *({up: 1, down: -1} for down in downs if down != up)]
        room = {up: 1}
        for down in (k for k in cheapest if k != up):
            if change(room)[1] <= limit - center.cost:
                break
            room[down] = -1
        tried.append(room)
    changes = [(*change(steps), steps) for steps in tried]
    fitting = [entry for entry in changes if entry[1] <= limit - center.cost]
    for _, _, steps in sorted(fitting, key=lambda entry: entry[:2]):
        moved = [place + steps.get(k, 0) for k, place in enumerate(places)]
        found = _filled(options, moved, limit, fixed=steps)
        if max_widths is None or len(set(found.bits)) <= max_widths:
            yield found


def _filled(options: Sequence[Options], places: list[int], limit: int, fixed: Steps) -> Assignment:
    """Take other units up as long as they fit, those that save most for their bits first."""

    def chosen(k: int) -> WidthOption:
        return options[k][places[k]]

    left = limit - sum(chosen(k).cost for k in range(len(options)))
    while True:
        gains = {}
        for k, unit in enumerate(options):
            if k not in fixed and places[k] + 1 < len(unit):
                above = unit[places[k] + 1]
                if above.cost - chosen(k).cost <= left and above.loss < chosen(k).loss:
                    gains[k] = (chosen(k).loss - above.loss) / max(1, above.cost - chosen(k).cost)
        if not gains:
            return Assignment(options=tuple(map(chosen, range(len(options)))))
        best = max(gains, key=gains.__getitem__)
        left -= options[best][places[best] + 1].cost - chosen(best).cost
        places[best] += 1
