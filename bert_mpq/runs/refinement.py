"""Plans of one size, measured as a whole on calibration reviews: what Phase 2 chooses its bits by."""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.refinement import Search
from bert_mpq.compute.checkpoints import State, pass_identity
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.embeddings import round_tables
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.refinement import MeasuredPlan, Refinement
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import REFINE_REVIEWS, QuantizationPlan
from bert_mpq.sensitivity.plan_models import PlanModels
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.twins import Twins

TITLE = "Refine the plan"
Divergences = npt.NDArray[np.float64]  # (reviews,) KL in nats


class Measurements:
    """The divergences of the plans that were measured, for a checkpoint.

    Args:
        linears: whose bits make a plan.
        reviews: that every plan is measured on.
    """

    def __init__(self, linears: int, reviews: int) -> None:
        self._shape = linears, reviews
        self.known: dict[tuple[int, ...], Divergences] = {}

    @property
    def state(self) -> State:
        """What a checkpoint holds."""
        bits, kl = torch.tensor(list(self.known)), torch.from_numpy(np.stack([*self.known.values()]))
        return State(tensors={"bits": bits, "kl": kl}, facts={})

    def load(self, state: State) -> bool:
        """Take what a checkpoint holds; raises ValueError when it does not fit."""
        bits, kl = state.tensors["bits"].numpy(), state.tensors["kl"].numpy()
        if bits.shape != (len(kl), self._shape[0]) or kl.shape[1:] != self._shape[1:]:
            raise ValueError("plans and divergences do not match")
        self.known.update(zip(map(tuple, bits.tolist()), kl, strict=True))
        return True


def refine(job: Job[QuantizationPlan], budget: Budget) -> tuple[BitAllocation, Refinement]:
    """Return the plan of least KL among those that were measured, and what was measured.

    What is stopped goes on from the plans that it has measured.

    Raises:
        MpqError: E-BUDGET when no plan is small enough; what loading, quantizing and evaluating raise.
    """
    config, model, reporter = job.plan.config, job.classifier().model, job.reporter
    size = min(REFINE_REVIEWS, job.available("calibration"))
    work = job.draw("calibration", size, "Tokenize for the refinement")
    twins = _twins(job, budget)
    models = PlanModels(twins)
    logits = torch.from_numpy(evaluate(model, work, Silent(), "").logits)
    names = [linear.name for linear in budget.outline.linears]
    plans = Measurements(len(names), len(work.tokens))

    def identity() -> dict[str, str]:
        scheme = f"{config.quantizer}, {config.group_size}, {config.gptq_reviews}"
        return {**pass_identity(twins.model, work), "quantizer": scheme}

    checkpoint = job.checkpoints.open(TITLE, identity) if job.checkpoints else None
    if checkpoint is not None and checkpoint.restore(plans.load):
        reporter.note(f"{TITLE}: going on from a checkpoint, {len(plans.known):,} plans are measured.")

    def measure(plan: Mapping[str, int]) -> float:
        key = tuple(plan[name] for name in names)
        if key not in plans.known:
            given = torch.from_numpy(evaluate(models.of(plan), work, Silent(), "").logits)
            plans.known[key] = kl_of_logits(logits, given).numpy()
        return float(plans.known[key].mean())

    search = Search(budget, job.plan.refinements)
    for _ in reporter.track(search.run(measure), TITLE, search.passes):
        if checkpoint is not None and checkpoint.due:
            checkpoint.write(plans.state)
    return _outcome(search, plans.known, len(work.tokens))


def _twins(job: Job[QuantizationPlan], budget: Budget) -> Twins:
    """Return the twins of all layers at every width that a plan may have, beside the plan's embeddings."""
    widths = tuple(sorted({option.bits for each in budget.options for option in each} - {32}))
    narrower = copy.deepcopy(job.classifier().model)
    round_tables(narrower, budget.embeddings)
    return Twins.of(narrower, Probe.of(job.plan.config, bits=widths), job.calibration(widths), job.reporter)


def _outcome(
    search: Search, known: Mapping[tuple[int, ...], Divergences], reviews: int
) -> tuple[BitAllocation, Refinement]:
    budget = search.budget
    names = [linear.name for linear in budget.outline.linears]
    difference = known[search.optimum] - known[tuple(search.best.values())]
    refinement = Refinement(
        reviews=reviews,
        plans=tuple(
            MeasuredPlan(
                bits=bits,
                predicted=budget.embedding_loss + budget.assignment(dict(zip(names, bits, strict=True))).loss,
                kl=kl,
            )
            for bits, kl in search.measured.items()
        ),
        optimum=list(search.measured).index(search.optimum),
        gain_error=float(difference.std(ddof=1) / reviews**0.5) if reviews > 1 else 0.0,
    )
    return budget.allocation(budget.assignment(search.best)), refinement
