"""What Phase 2 measured."""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from bert_mpq.records.context import Sample, Setting, Stage, Staged
from bert_mpq.records.refinement import Refinement
from bert_mpq.records.sizes import SizeReport
from bert_mpq.records.training import TrainingReport
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.quantizers import WidthQuantizer


@dataclass(frozen=True, kw_only=True)
class Sensitivities:
    """A sensitivity file: the scores, and what the files beside it say of them ("" when unknown).

    Args:
        damage_correlation: rank correlation with the measured damage, as ``+0.99``.
    """

    file_name: str
    values: tuple[float, ...]
    metric: str = ""
    model_name: str = ""
    samples: str = ""
    damage_correlation: str = ""
    encoder_fingerprint: str = ""

    def foreign(self, model_name: str, encoder_fingerprint: str) -> str:
        """Return whose scores they are, in words, where that is another model; "" where it is this one.

        Weights tell for sure; where either side's are unknown, names do.
        """
        name = self.model_name or "another model"
        if self.encoder_fingerprint and encoder_fingerprint:
            same = self.encoder_fingerprint == encoder_fingerprint
            other_weights = f"{name} with other weights"
            return "" if same else other_weights if _same_name(self.model_name, model_name) else name
        return "" if not self.model_name or _same_name(self.model_name, model_name) else name


@dataclass(frozen=True, kw_only=True)
class BitAllocation:
    """Bits per encoder layer, or per Linear.

    Args:
        group_bits: bits per group, most sensitive group first.
        groups: group of each layer or Linear; 0 is the most sensitive.
        bits: bits of each layer or Linear, protected layers included.
        protected: layers that got more than their group's bits.
        linears: Linears of each layer, where bits are those of Linears; empty where they are those of layers.
        embeddings: precision of the embedding tables where a budget decided on it.
    """

    method: str
    group_bits: tuple[int, ...]
    groups: tuple[int, ...]
    bits: tuple[int, ...]
    protected: tuple[int, ...] = ()
    linears: tuple[int, ...] = ()
    embeddings: EmbeddingPrecision | None = None

    def __post_init__(self) -> None:
        if self.linears and sum(self.linears) != len(self.bits):
            raise ValueError("allocation.linears does not fit its bits")

    @property
    def granularity(self) -> Granularity:
        """What has a width of its own."""
        return "linear" if self.linears else "layer"

    @property
    def by_layer(self) -> tuple[tuple[int, ...], ...]:
        """The width of each layer; the widths of its Linears where these may differ."""
        ends = tuple(accumulate(self.linears or (1,) * len(self.bits)))
        return tuple(self.bits[start:end] for start, end in pairwise((0, *ends)))

    @property
    def texts(self) -> tuple[str, ...]:
        """The width of each layer in words: ``4``; ``4,4,4,3,2,2`` where its Linears have several."""
        return tuple(
            ",".join(map(str, widths if len(set(widths)) > 1 else widths[:1])) for widths in self.by_layer
        )


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Binary classification figures; positive class = 1.

    Args:
        loss: mean cross-entropy in nats.
        seconds: time of the forward passes.
        batches: forward passes; 0 in old records.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    loss: float
    correct: int
    size: int
    seconds: float
    batches: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """Shares and loss under the keys of the script this tool replaces."""
        return {
            "accuracy": self.accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "f1_score": self.f1,
            "loss": self.loss,
        }


@dataclass(frozen=True, kw_only=True)
class TrainedEvaluation:
    """The model after quantization-aware training, on the evaluation reviews.

    Args:
        agreement: share of the reviews on which it predicts what the FP32 model does.
        sample: the calibration reviews that it was trained with.
        kl: mean KL of its logits from the FP32 model's, in nats; None in old records.
    """

    accuracy: Accuracy
    agreement: float
    sample: Sample
    training: TrainingReport
    kl: float | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationResult(Staged):
    """What Phase 2 measured: the same reviews through the FP32 and through the quantized model.

    ``after``, ``agreement`` and ``kl`` are the model's after post-training quantization; ``trained`` is there
    when it has been trained after that, ``refinement`` when plans were measured to choose the bits.
    """

    config: RunConfig
    setting: Setting
    sample: Sample
    sensitivities: Sensitivities
    allocation: BitAllocation
    before: Accuracy
    after: Accuracy
    agreement: float  # share of reviews on which both models predict the same
    quantizers: tuple[WidthQuantizer, ...]  # what quantized each width below 16 bits
    gptq_sample: Sample | None  # the calibration reviews that GPTQ looked at
    sizes: SizeReport
    quantization_seconds: float
    stages: tuple[Stage, ...]
    trained: TrainedEvaluation | None = None
    refinement: Refinement | None = None
    kl: float | None = None  # mean KL of the logits from the FP32 model's, in nats; None in old records
    weights_fingerprint: str = ""  # SHA-256 of the evaluated weights; "" in old records
    weights_file: str = ""  # beside the record: weights that took reviews to make (GPTQ, training)

    @property
    def scores_of(self) -> str:
        """Whose scores decided the bits, in words; "" where they are this model's, or nobody knows."""
        return self.sensitivities.foreign(self.setting.model_name, self.setting.encoder_fingerprint)

    @property
    def works(self) -> bool:
        """Whether the FP32 model is better than always saying the more frequent label.

        Where it is not, its figures say nothing about bits. Reviews of one class are not judged by.
        """
        larger = max(self.sample.positive, self.sample.size - self.sample.positive)
        return larger == self.sample.size or self.before.correct > larger

    @property
    def embeddings(self) -> EmbeddingPrecision:
        """Precision of the embedding tables."""
        return self.allocation.embeddings or self.config.embedding_precision

    @property
    def final(self) -> Accuracy:
        """The figures of the model that the run ends with."""
        return self.trained.accuracy if self.trained else self.after

    @property
    def final_drop_error(self) -> float:
        """Standard error of the change that the run ends with."""
        agreement = self.trained.agreement if self.trained else self.agreement
        return self.drop_error(self.final, agreement)

    def drop_error(self, after: Accuracy, agreement: float) -> float:
        """Return the standard error of the change in accuracy to ``after``, paired by review."""
        return paired_error(after.accuracy - self.before.accuracy, agreement, after.size)

    def relative_drop(self, after: Accuracy) -> float:
        """Return the drop to ``after`` as a share of the baseline accuracy (0 where that is 0)."""
        before = self.before.accuracy
        return (before - after.accuracy) / before if before else 0.0


def paired_error(change: float, agreement: float, size: int) -> float:
    """Return the standard error of a change in accuracy on the same reviews, as a share.

    There are two labels, so where two predictions differ exactly one of them is right: a review counts
    +1, -1 or 0, and the mean square is the share of the reviews on which they differ.

    Args:
        change: in accuracy, as a share.
        agreement: share of the reviews on which both predict the same.
        size: reviews.
    """
    return math.sqrt(max(1.0 - agreement - change**2, 0.0) / size)


def _same_name(first: str, second: str) -> bool:
    """Return whether two model names mean the same hub id or the same folder."""
    return first == second or Path(first).absolute() == Path(second).absolute()
