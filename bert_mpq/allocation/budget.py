"""From scores at several widths to the best bits for a target: what ``plan`` shows and Phase 2 applies."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from bert_mpq.allocation.best_clusterings import Candidate, best_clusterings
from bert_mpq.allocation.knapsack import Assignment, InfeasibleError, Options, frontier, optimum, smallest
from bert_mpq.allocation.losses import Losses, assignment_of, losses_of, options_of
from bert_mpq.allocation.pins import check_probed, pinned_units
from bert_mpq.allocation.refusals import out_of_reach, too_many_widths
from bert_mpq.records.evaluation import BitAllocation, Sensitivities
from bert_mpq.records.numbers import MEBIBYTE_BITS
from bert_mpq.records.outline import Outline, Unit
from bert_mpq.records.sizes import SizeReport, size_report, unit_bits
from bert_mpq.records.width_scores import WidthScores
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import for_probes
from bert_mpq.settings.targets import Target


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget problem: the options of every unit, and what they cost.

    Args:
        config: target, granularity, pins and quantizer.
        units: what has a width of its own: layers, Linears, or Linears with query, key and value tied.
        losses: of each unit.
        pins: bits of the pinned units.
        options: of each unit.
        embeddings: precision of the embedding tables.
    """

    config: RunConfig
    scores: WidthScores
    units: tuple[Unit, ...]
    losses: Losses
    pins: Mapping[int, int]
    options: tuple[Options, ...] = ()
    embeddings: EmbeddingPrecision = "fp32"

    @property
    def outline(self) -> Outline:
        """The shape of the model."""
        return self.scores.outline

    def by_name(self, bits: Sequence[int]) -> dict[str, int]:
        """Return bits per unit as bits of every Linear, by its name in the model."""
        return self.outline.bits_by_name(bits, self.config.granularity, self.config.tie)

    def sizes(self, bits: Sequence[int]) -> SizeReport:
        """Return the size of the model with so many bits per unit."""
        config = self.config
        return size_report(
            self.outline, self.by_name(bits), config.quantizer, config.group_size, self.embeddings
        )

    @property
    def embeddings_are_open(self) -> bool:
        """Whether the precision of the embeddings is to be chosen with the bits, and their loss is known."""
        return self.config.chooses_embeddings and self.scores.embeddings is not None

    @property
    def embedding_loss(self) -> float:
        """The loss of the embeddings; 0 where it is not known."""
        losses = self.scores.embeddings
        return losses.of(self.embeddings) if losses else 0.0

    @property
    def fixed_bits(self) -> int:
        """Bits of all that is no encoder weight."""
        sizes = self.sizes((32,) * len(self.units))
        return sizes.whole_bits - sizes.quantized_bits

    def limit(self, target: Target) -> int:
        """Return the bits that a size target leaves for the encoder weights; negative when none are left."""
        value = Fraction(f"{target.value:.10g}")
        if target.kind == "bits":
            return math.floor(value * self.outline.linear_weights)
        original = self.sizes((32,) * len(self.units)).whole_original_bits
        whole = original / value if target.kind == "ratio" else value * MEBIBYTE_BITS
        return math.floor(whole) - self.fixed_bits

    def best(self, target: Target) -> Assignment:
        """Return the assignment of least loss within a size target.

        Raises:
            MpqError: E-BUDGET, naming the smallest size there is.
        """
        try:
            return optimum(self.options, self.limit(target), self.config.max_widths)
        except InfeasibleError as error:
            if error.smallest is None:
                raise too_many_widths(self.options, self.config.max_widths) from error
            least = self.sizes(smallest(self.options, self.config.max_widths).bits)
            raise out_of_reach(target, least, self.embeddings) from error

    def frontier(self) -> tuple[Assignment, ...]:
        """Return the Pareto-optimal assignments, smallest first.

        Raises:
            MpqError: E-BUDGET when pins need more widths than allowed.
        """
        try:
            return frontier(self.options, self.config.max_widths)
        except InfeasibleError as error:
            raise too_many_widths(self.options, self.config.max_widths) from error

    @property
    def foreign_quantizer(self) -> bool:
        """Whether the losses were measured with another quantizer than the one that will be used."""
        probe, config = self.scores.config, self.config
        measured, used = (for_probes(each.quantizer) for each in (probe, config))
        return (measured, probe.group_size) != (used, config.group_size)

    def clusterings(self, limit: int) -> tuple[Candidate, ...]:
        """Return the best each clustering of the layers can do within ``limit`` bits of encoder weights.

        Their losses are sums over the units of a layer; what is pinned stays at its pin.
        """
        members = [
            [index for index, unit in enumerate(self.units) if unit.layer == layer]
            for layer in range(self.outline.layers)
        ]
        pins = {
            layer: self.pins[mine[0]]
            for layer, mine in enumerate(members)
            if len({self.pins.get(index) for index in mine}) == 1 and mine[0] in self.pins
        }

        def cost(layer: int, bits: int) -> int:
            return sum(self.cost(index, self.pins.get(index, bits)) for index in members[layer])

        return best_clusterings(
            self.scores.at_first_width(self.config.score),
            tuple(
                {b: math.fsum(self.losses[k][self.pins.get(k, b)] for k in mine) for b in self.losses[0]}
                for mine in members
            ),
            cost,
            limit,
            pins,
            self.config.protect_last,
            self.config.max_widths,
        )

    def cost(self, unit: int, bits: int) -> int:
        """Return the packed bits of a unit at a width."""
        return unit_bits(self.units[unit], bits, self.config.quantizer, self.config.group_size)

    def assignment(self, by_name: Mapping[str, int]) -> Assignment:
        """Return the bits of every Linear as an assignment.

        Raises:
            ValueError: a unit has several widths, or one that was not probed.
        """
        widths = [{by_name[linear.name] for linear in unit.linears} for unit in self.units]
        found = assignment_of(self.losses, self.cost, [min(each) for each in widths], {})
        if found is None or max(map(len, widths)) > 1:
            raise ValueError("these bits are no assignment of this budget")
        return found

    def allocation(self, assignment: Assignment) -> BitAllocation:
        """Return an assignment as Phase 2 takes it: a group for each width in use."""
        widths = tuple(sorted(set(assignment.bits), reverse=True))
        bits = assignment.bits
        linears: tuple[int, ...] = ()
        if self.config.granularity == "linear":
            by_name = self.by_name(bits)
            bits = tuple(by_name[linear.name] for linear in self.outline.linears)
            linears = tuple(len(layer.linears) for layer in self.outline.units())
        return BitAllocation(
            method="budget",
            group_bits=widths,
            groups=tuple(map(widths.index, bits)),
            bits=bits,
            linears=linears,
            embeddings=self.embeddings,
        )

    @property
    def coarser(self) -> "tuple[Budget, ...]":
        """The same problem with fewer units, coarsest first: whole layers, then Linears with some tied."""
        steps: list[tuple[Granularity, bool]] = [("layer", True), ("linear", True), ("linear", False)]
        mine = (self.config.granularity, self.config.granularity == "layer" or self.config.tie)
        found = []
        for granularity, tie in steps[: steps.index(mine)]:
            with contextlib.suppress(MpqError):  # a pin of a part, or no such scores
                config = self.config.replace(granularity=granularity, tie=tie)
                found.append(replace(make_budget(config, self.scores), embeddings=self.embeddings))
        return tuple(found)


def make_budget(config: RunConfig, scores: WidthScores) -> Budget:
    """Return the problem that ``config`` poses with these scores.

    Raises:
        MpqError: E-SCORE when the score was not measured or is not valid for every unit; E-BUDGET when a pin
            cannot be kept.
    """
    outline, values = scores.outline, scores.table(config.score, config.granularity).values
    units = outline.units(config.granularity, config.tie)
    pins = pinned_units(config.pins, units)
    check_probed(pins, units, scores.widths)
    if config.granularity == "linear":
        rows = dict(zip((linear.name for linear in outline.linears), values, strict=True))
        values = tuple(_summed([rows[linear.name] for linear in unit.linears]) for unit in units)
    losses = losses_of(scores.widths, values)
    budget = Budget(
        config=config,
        scores=scores,
        units=units,
        losses=losses,
        pins=pins,
        embeddings=config.embedding_precision,
    )
    first = outline.layers - config.protect_last
    protected = [index for index, unit in enumerate(units) if unit.layer >= first]
    return replace(budget, options=options_of(losses, budget.cost, pins, protected))


def _summed(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(map(math.fsum, zip(*rows, strict=True)))


def sensitivities_of(scores: WidthScores, metric: str, file_name: str) -> Sensitivities:
    """Return the scores at the first width, as Phase 2 reports name them; raises MpqError E-SCORE."""
    return Sensitivities(
        file_name=file_name,
        values=scores.at_first_width(metric),
        metric=metric,
        model_name=scores.model_name,
        samples=str(scores.reviews),
        encoder_fingerprint=scores.encoder_fingerprint,
    )
