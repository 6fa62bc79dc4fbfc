"""Plans of one size, measured as a whole on calibration reviews: what Phase 2 chooses its bits by."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bert_mpq.allocation.budget import Budget
from bert_mpq.allocation.refinement import Search
from bert_mpq.compute.checkpoints import State, pass_identity
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.encoder import encoder_layers, linear_names, linears
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.embeddings import round_tables
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.refinement import MeasuredPlan, Refinement
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import REFINE_REVIEWS, QuantizationPlan
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.twins import quantized_twins
from bert_mpq.settings.config import RunConfig

TITLE = "Refine the plan"
Divergences = npt.NDArray[np.float64]  # (reviews,) KL in nats


class PlanModels:
    """Models of any plan, made of the weights of the probes' twins: each is quantized once at every width.

    Args:
        model: the FP32 classifier, whose other weights the models share.
        widths: those that plans may have.
        calibration: reviews for GPTQ.
    """

    def __init__(
        self,
        model: nn.Module,
        config: RunConfig,
        widths: Sequence[int],
        calibration: Workload | None,
        reporter: Reporter,
    ) -> None:
        self._model = model
        probed = tuple(width for width in widths if width < 32)
        probe = Probe.of(config, bits=probed, granularity="layer")
        twins = quantized_twins(model, probe, calibration, reporter)
        self._weights = {
            (name, width): linear.weight
            for names, copies in zip(linear_names(model), twins, strict=True)
            for width, twin in zip(probed, copies, strict=True)
            for name, (_, linear) in zip(names, linears(twin), strict=True)
        }
        self._own = {
            name: linear.weight
            for names, layer in zip(linear_names(model), encoder_layers(model), strict=True)
            for name, (_, linear) in zip(names, linears(layer), strict=True)
        }

    def of(self, bits: Mapping[str, int]) -> nn.Module:
        """Return the model of a plan; it copies no weight."""
        shared: dict[int, Tensor] = {id(each): each for each in self._model.parameters()}
        for name, width in bits.items():
            if width < 32:
                shared[id(self._own[name])] = self._weights[name, width]
        return copy.deepcopy(self._model, shared)


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
    widths = sorted({option.bits for each in budget.options for option in each})
    calibration = job.calibration(widths)
    narrower = copy.deepcopy(model)
    round_tables(narrower, budget.embeddings)
    models = PlanModels(narrower, config, widths, calibration, reporter)
    logits = torch.from_numpy(evaluate(model, work, Silent(), "").logits)
    names = [linear.name for linear in budget.outline.linears]
    plans = Measurements(len(names), len(work.tokens))

    def identity() -> dict[str, str]:
        scheme = f"{config.quantizer}, {config.group_size}, {config.gptq_reviews}"
        return {**pass_identity(narrower, work), "quantizer": scheme}

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
