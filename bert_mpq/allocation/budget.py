"""From scores at several widths to the best bits for a target: what ``plan`` shows and Phase 2 applies."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from bert_mpq.allocation.best_clusterings import Candidate, best_clusterings
from bert_mpq.allocation.knapsack import Assignment, InfeasibleError, Unit, frontier, optimum, smallest
from bert_mpq.allocation.losses import Losses, layer_units, losses_of
from bert_mpq.records.evaluation import BitAllocation, Sensitivities
from bert_mpq.records.numbers import MEBIBYTE_BITS, megabytes
from bert_mpq.records.outline import Outline
from bert_mpq.records.sizes import SizeReport, size_report, unit_bits
from bert_mpq.records.width_scores import WidthScores
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.targets import Target


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A budget problem: the options of every layer, and what they cost.

    Args:
        config: target, pins and quantizer.
        units: the options of each layer.
    """

    config: RunConfig
    scores: WidthScores
    losses: Losses
    units: tuple[Unit, ...]

    @property
    def outline(self) -> Outline:
        """The shape of the model."""
        return self.scores.outline

    def sizes(self, bits: tuple[int, ...]) -> SizeReport:
        """Return the size of the model with so many bits per layer."""
        config = self.config
        by_name = self.outline.bits_by_name(bits)
        return size_report(self.outline, by_name, config.quantizer, config.group_size, config.embeddings)

    @property
    def fixed_bits(self) -> int:
        """Bits of all that is no encoder weight."""
        sizes = self.sizes((32,) * self.outline.layers)
        return sizes.whole_bits - sizes.quantized_bits

    def limit(self, target: Target) -> int:
        """Return the bits that a size target leaves for the encoder weights; negative when none are left."""
        value = Fraction(f"{target.value:.10g}")
        if target.kind == "bits":
            return math.floor(value * self.outline.linear_weights)
        original = self.sizes((32,) * self.outline.layers).whole_original_bits
        whole = original / value if target.kind == "ratio" else value * MEBIBYTE_BITS
        return math.floor(whole) - self.fixed_bits

    def best(self, target: Target) -> Assignment:
        """Return the assignment of least loss within a size target.

        Raises:
            MpqError: E-BUDGET, naming the smallest size there is.
        """
        try:
            return optimum(self.units, self.limit(target), self.config.max_widths)
        except InfeasibleError as error:
            raise self._refusal(target, error.smallest) from error

    def frontier(self) -> tuple[Assignment, ...]:
        """Return the Pareto-optimal assignments, smallest first.

        Raises:
            MpqError: E-BUDGET when pins need more widths than allowed.
        """
        try:
            return frontier(self.units, self.config.max_widths)
        except InfeasibleError as error:
            raise self._refusal(None, error.smallest) from error

    @property
    def foreign_quantizer(self) -> bool:
        """Whether the losses were measured with another quantizer than the one that will be used."""
        probe, config = self.scores.config, self.config
        return (probe.quantizer, probe.group_size) != (config.quantizer, config.group_size)

    def clusterings(self, limit: int) -> tuple[Candidate, ...]:
        """Return the best each clustering can do within ``limit`` bits of encoder weights."""
        config = self.config
        scores = self.scores.at_first_width(config.score)
        return best_clusterings(
            scores, self.losses, self.cost, limit, config.pins, config.protect_last, config.max_widths
        )

    def cost(self, layer: int, bits: int) -> int:
        """Return the packed bits of a layer at a width."""
        return unit_bits(self.outline.units()[layer], bits, self.config.quantizer, self.config.group_size)

    def allocation(self, assignment: Assignment) -> BitAllocation:
        """Return an assignment as Phase 2 takes it: a group for each width in use."""
        widths = tuple(sorted(set(assignment.bits), reverse=True))
        return BitAllocation(
            method="budget",
            group_bits=widths,
            groups=tuple(widths.index(bits) for bits in assignment.bits),
            bits=assignment.bits,
        )

    def _refusal(self, target: Target | None, least: int | None) -> MpqError:
        if least is None or target is None:
            pinned = sorted({option.bits for unit in self.units if len(unit) == 1 for option in unit})
            return MpqError(
                "E-BUDGET",
                f"The pins need {len(pinned)} widths, --max-widths allows {self.config.max_widths}.",
                "Allow more widths, or pin fewer.",
            )
        bits = smallest(self.units, self.config.max_widths).bits
        sizes = self.sizes(bits)
        offer = _reachable(target, sizes)
        rest = sizes.whole_bits - sizes.quantized_bits
        hint = f"Ask for --target {offer.text}{' or less' if target.kind == 'ratio' else ' or more'}"
        if self.config.embeddings == "fp32" and target.kind != "bits":
            hint += ", or --embeddings fp16"
        return MpqError(
            "E-BUDGET",
            f"{target.text} cannot be reached: the smallest plan takes {sizes.bits_per_weight:.2f} bits per "
            f"encoder weight, {megabytes(sizes.whole_bits):.2f} MB in all ({sizes.whole_ratio:.2f}x), "
            f"{megabytes(rest):.2f} MB of it not encoder weights.",
            f"{hint}.",
        )


def make_budget(config: RunConfig, scores: WidthScores) -> Budget:
    """Return the problem that ``config`` poses with these scores.

    Raises:
        MpqError: E-SCORE when the score was not measured or is not valid for every layer; E-BUDGET when a pin
            cannot be kept.
    """
    losses = losses_of(scores.widths, scores.table(config.score).values)
    empty = Budget(config=config, scores=scores, losses=losses, units=())
    return replace(empty, units=layer_units(losses, empty.cost, config.pins, config.protect_last))


def sensitivities_of(scores: WidthScores, metric: str, file_name: str) -> Sensitivities:
    """Return the scores at the first width, as Phase 2 reports name them.

    Raises:
        MpqError: E-SCORE.
    """
    return Sensitivities(
        file_name=file_name,
        values=scores.at_first_width(metric),
        metric=metric,
        model_name=scores.model_name,
        samples=str(scores.reviews),
        encoder_fingerprint=scores.encoder_fingerprint,
    )


def _reachable(target: Target, sizes: SizeReport) -> Target:
    """Return the hardest target of this kind that the smallest plan meets, to two decimals."""
    if target.kind == "ratio":
        value = math.floor(100 * Fraction(sizes.whole_original_bits, sizes.whole_bits))
    elif target.kind == "bits":
        value = math.ceil(100 * Fraction(sizes.quantized_bits, sizes.linear_weights))
    else:
        value = math.ceil(100 * Fraction(sizes.whole_bits, MEBIBYTE_BITS))
    return Target(kind=target.kind, value=value / 100)
