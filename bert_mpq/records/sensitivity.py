"""What Phase 1 measured."""

from dataclasses import dataclass

from bert_mpq.records.context import Sample, Setting, Stage, Staged
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.metrics import Metric
from bert_mpq.settings.quantizers import WidthQuantizer


@dataclass(frozen=True, kw_only=True)
class LayerScore:
    """Sensitivity of one layer: 1 - similarity (or the KL of the logits, in nats); higher = more fragile.

    Args:
        status: ``ok``, or what is wrong with it.
        explanation: the status in words; "" when it is ok.
        ranks: directions that a canonical correlation metric kept on the FP32 and on the quantized side.
        usable: whether an allocation may rest on it.
        interval: 95 % confidence interval by a delete-block jackknife; None where there is none.
        noise_floor: estimate of the error of ``value`` by rounding.
    """

    value: float
    status: str = "ok"
    explanation: str = ""
    ranks: tuple[int, int] = (0, 0)
    usable: bool = True
    interval: tuple[float, float] | None = None
    noise_floor: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One metric over all layers, first layer first.

    Args:
        rank_confidence: for each two neighbours in the ranking, most sensitive layer first, the confidence
            that the upper one is really above the lower; None where it is not known.
    """

    metric: Metric
    layers: tuple[LayerScore, ...]
    rank_confidence: tuple[float | None, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """The bare scores."""
        return tuple(layer.value for layer in self.layers)

    @property
    def ranking(self) -> tuple[int, ...]:
        """Layers by score, most sensitive first; those without a score last."""
        keys = [-value if value == value else 1.0 for value in self.values]
        return tuple(sorted(range(len(keys)), key=keys.__getitem__))

    @property
    def usable(self) -> bool:
        """Whether every layer has a score that an allocation may rest on."""
        return bool(self.layers) and all(layer.usable for layer in self.layers)

    @property
    def enough_reviews(self) -> bool:
        """Whether an allocation may rest on every score and none is biased by too few reviews."""
        return self.usable and all(layer.status != "few_samples" for layer in self.layers)


@dataclass(frozen=True, kw_only=True)
class MetricAgreement:
    """How far two scores rank the layers alike.

    Args:
        spearman: rank correlation over the layers; None where a score does not vary.
        flagged: layers to look into: without them the two scores order no two layers oppositely with 95 %
            confidence each.
    """

    first: Metric
    second: Metric
    spearman: float | None
    flagged: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """How a run that stops as soon as it may has ended.

    Args:
        available: reviews of the sample that was drawn.
        confidence: that all of them would give the same bit allocation.
    """

    used: int
    available: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class AnalysisResult(Staged):
    """What Phase 1 measured.

    Args:
        kl: KL(FP32 || quantized) of the logits in nats, mean over reviews, per layer; empty where the scope
            has no logits per layer.
        agreement: rank correlations between the scores, and with the KL.
        quantizers: what quantized the probe; empty at 16 bits.
        gptq_sample: the calibration reviews that GPTQ looked at.
        stopping: how ``until_stable`` ended; None where it was not asked.
    """

    config: RunConfig
    setting: Setting
    sample: Sample
    scores: tuple[Scores, ...]
    kl: tuple[float, ...]
    agreement: tuple[MetricAgreement, ...]
    quantizers: tuple[WidthQuantizer, ...]
    gptq_sample: Sample | None
    stages: tuple[Stage, ...]
    stopping: Stopping | None = None
