"""What bits come to before anything is run: their mean, the size of the model, and the predicted damage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bert_mpq.allocation.losses import losses_of
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.sizes import SizeReport, size_report
from bert_mpq.records.width_scores import WidthScores, is_width_file, list_width_scores, read_width_scores
from bert_mpq.runs.plan import FullPlan, Plan, QuantizationPlan, SweepPlan
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.quantizers import quantizers_for

if TYPE_CHECKING:
    from bert_mpq.sources.classifiers import ModelSource


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the bits of all layers come to.

    Args:
        bits_per_weight: bits per encoder weight, scales included.
        whole_bits: of the whole model; None where its number of parameters is not known yet.
        whole_original_bits: of the whole FP32 model; None likewise.
        kl: predicted KL of the logits, in nats: that of each layer alone, summed; None where it was not
            measured at these widths.
    """

    DERIVED: ClassVar = ("whole_ratio",)

    bits_per_weight: float
    whole_bits: int | None = None
    whole_original_bits: int | None = None
    kl: float | None = None

    @classmethod
    def of(cls, sizes: SizeReport, kl: float | None = None) -> "Outcome":
        """Return what a model of known size comes to."""
        return cls(
            bits_per_weight=sizes.bits_per_weight,
            whole_bits=sizes.whole_bits,
            whole_original_bits=sizes.whole_original_bits,
            kl=kl,
        )

    @property
    def whole_ratio(self) -> float:
        """FP32 over quantized: the whole model, or the encoder where no more is known."""
        if self.whole_bits is None or self.whole_original_bits is None:
            return 32 / self.bits_per_weight
        return self.whole_original_bits / self.whole_bits


def outcome_of(
    config: RunConfig, bits: Sequence[int], model: "ModelSource", granularity: Granularity = "layer"
) -> Outcome:
    """Return what bits per layer, or per Linear, come to.

    Exactly, and with the KL, where there are scores at several widths.
    """
    scores = _scores_of(config, model)
    if scores is None:
        return _by_shape(config, bits, model)
    return _by_scores(config, bits, granularity, scores)


def extremes(config: RunConfig, model: "ModelSource") -> tuple[Outcome, Outcome]:
    """Return the least and the most that ``config.bits`` can come to: every group has one layer at least."""
    rest = model.layers - len(config.bits)
    least, most = ((*config.bits, *(rest * [config.bits[which]])) for which in (-1, 0))
    return outcome_of(config, least, model), outcome_of(config, most, model)


def outcomes_of(plan: Plan) -> tuple[Outcome, ...]:
    """Return what a plan comes to: one, the least and the most that it can be, or none that is known."""
    if isinstance(plan, QuantizationPlan) and isinstance(plan.allocation, BitAllocation):
        allocation, config = plan.allocation, plan.config
        if allocation.embeddings is not None:
            config = config.replace(embeddings=allocation.embeddings)
        return (outcome_of(config, allocation.bits, plan.sources.model, allocation.granularity),)
    full = isinstance(plan, FullPlan) and not isinstance(plan, SweepPlan)
    if full and plan.config.clustering != "budget" and plan.sources.model.layers >= len(plan.config.bits):
        return extremes(plan.config, plan.sources.model)
    return ()


def _scores_of(config: RunConfig, model: "ModelSource") -> WidthScores | None:
    """Return the scores at several widths that the run starts from, or the newest ones of its model."""
    try:
        if config.sensitivities and is_width_file(config.sensitivities):
            return read_width_scores(config.sensitivities)
    except MpqError:
        return None
    fitting = (
        each
        for each in list_width_scores(config.output)
        if (each.model_name, each.outline.layers) == (model.name, model.layers)
    )
    return next(fitting, None)


def _by_scores(
    config: RunConfig, bits: Sequence[int], granularity: Granularity, scores: WidthScores
) -> Outcome:
    by_name = scores.outline.bits_by_name(bits, granularity, tie=False)
    sizes = size_report(
        scores.outline, by_name, config.quantizer, config.group_size, config.embedding_precision
    )
    return Outcome.of(sizes, _predicted_kl(bits, granularity, scores))


def _predicted_kl(bits: Sequence[int], granularity: Granularity, scores: WidthScores) -> float | None:
    tables = scores.tables if granularity == "layer" else scores.linears
    table = next((table for table in tables if table.usable and METRICS[table.metric].of_logits), None)
    if table is None:
        return None
    losses = losses_of(scores.widths, table.values)
    if any(width not in known for width, known in zip(bits, losses, strict=True)):
        return None
    return math.fsum(known[width] for width, known in zip(bits, losses, strict=True))


def _by_shape(config: RunConfig, bits: Sequence[int], model: "ModelSource") -> Outcome:
    """Return it from the shape in config.json: all layers of one size, scales that divide the weights."""
    used = quantizers_for(config.quantizer, bits, config.group_size)
    scales = {entry.bits: entry.scale_bits for entry in used}
    mean = sum(width + scales.get(width, 0.0) for width in bits) / len(bits)
    if model.parameters is None:
        return Outcome(bits_per_weight=mean)
    whole, encoder = 32 * model.parameters, model.layers * model.layer_weights
    return Outcome(
        bits_per_weight=mean,
        whole_bits=round(whole - encoder * (32 - mean)),
        whole_original_bits=whole,
    )
