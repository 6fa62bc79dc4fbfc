"""Bits and the precision of the embedding tables, chosen together: plans of a whole model."""

import contextlib
from dataclasses import dataclass, replace

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.knapsack import Assignment, non_dominated
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.settings.embeddings import OFFERED, EmbeddingPrecision
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import Target


@dataclass(frozen=True, kw_only=True)
class WholePlan:
    """Bits of the encoder, and the budget whose embeddings go with them."""

    budget: Budget
    assignment: Assignment

    @property
    def key(self) -> tuple[EmbeddingPrecision, tuple[int, ...]]:
        """What tells it from the other plans of a problem."""
        return self.budget.embeddings, self.assignment.bits

    @property
    def allocation(self) -> BitAllocation:
        """The plan as Phase 2 takes it."""
        return self.budget.allocation(self.assignment)

    @property
    def whole_bits(self) -> int:
        """Bits of the whole model."""
        return self.budget.fixed_bits + self.assignment.cost

    @property
    def loss(self) -> float:
        """Loss of the encoder and of the embeddings, added up."""
        return self.assignment.loss + self.budget.embedding_loss


def variants(budget: Budget) -> tuple[Budget, ...]:
    """Return the problem with every precision of the embeddings that is open, widest first."""
    if not budget.embeddings_are_open:
        return (budget,)
    return tuple(replace(budget, embeddings=precision) for precision in OFFERED)


def best_plan(budget: Budget, target: Target) -> WholePlan:
    """Return the plan of least loss within a size target, embeddings included.

    Every precision that is open is tried with its optimal bits, so the answer is exact.

    Raises:
        MpqError: E-BUDGET, naming the smallest size there is.
    """
    *wider, narrowest = variants(budget)
    plans = []
    for each in wider:
        with contextlib.suppress(MpqError):
            plans.append(WholePlan(budget=each, assignment=each.best(target)))
    # Where nothing fits, the refusal is that of the smallest model.
    plans.append(WholePlan(budget=narrowest, assignment=narrowest.best(target)))
    return min(plans, key=lambda plan: plan.loss)


def frontier(budget: Budget) -> tuple[WholePlan, ...]:
    """Return Pareto-optimal plans by the size of the whole model, smallest first.

    Raises:
        MpqError: E-BUDGET when pins need more widths than allowed.
    """
    plans = [
        WholePlan(budget=each, assignment=point) for each in variants(budget) for point in each.frontier()
    ]
    return non_dominated(plans, lambda plan: (plan.whole_bits, plan.loss))
