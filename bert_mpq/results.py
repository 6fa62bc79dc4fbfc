"""What the phases hand to each other and to the files: plain frozen data, no logic beyond sums."""

from dataclasses import dataclass

from bert_mpq.config import RunConfig
from bert_mpq.quantizer import WidthQuantizer
from bert_mpq.training_results import TrainingReport


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Model, data and machine of a run, as the artifacts name them.

    Args:
        model_name: hub id, path or ``embedded``.
        model_title: the model in headings.
        model_word: the model in file names.
        data_name: hub id or file.
        data_word: the data in file names.
        device: ``cpu``, ``cuda`` or ``mps``.
        num_gpus: GPUs of all processes; 0 on a CPU.
        precision: arithmetic of the forward passes.
        max_length: tokens per review at most.
        batch_tokens: tokens per forward pass at most, padding included.
        layers: encoder layers.
        processes: processes that shared the work, on one host or several.
    """

    model_name: str
    model_title: str
    model_word: str
    data_name: str
    data_word: str
    device: str
    num_gpus: int
    precision: str
    max_length: int
    batch_tokens: int
    layers: int
    processes: int = 1


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Reviews that a phase used.

    Args:
        split: the split in words.
        size: reviews.
        positive: reviews with label 1.
        sampling: stratified or random.
        fingerprint: SHA-256 of texts and labels.
        largest_batch: most reviews in one forward pass.
    """

    split: str
    size: int
    positive: int
    sampling: str
    fingerprint: str
    largest_batch: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a run and the seconds it took."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class LayerScore:
    """Sensitivity of one layer: 1 - similarity (or the KL of the logits, in nats); higher = more fragile.

    Args:
        value: the score.
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
        metric: its name.
        layers: scores.
        rank_confidence: for each two neighbours in the ranking, most sensitive layer first, the confidence
            that the upper one is really above the lower; None where it is not known.
    """

    metric: str
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


@dataclass(frozen=True, kw_only=True)
class MetricAgreement:
    """How far two scores rank the layers alike.

    Args:
        first: a metric.
        second: another.
        spearman: rank correlation over the layers; None where a score does not vary.
        flagged: layers to look into: without them the two scores order no two layers oppositely with 95 %
            confidence each.
    """

    first: str
    second: str
    spearman: float | None
    flagged: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """How a run that stops as soon as it may has ended.

    Args:
        used: reviews it took.
        available: reviews of the sample that was drawn.
        confidence: that all of them would give the same bit allocation.
    """

    used: int
    available: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class SensitivityResult:
    """What Phase 1 measured.

    Args:
        config: the run.
        setting: model, data and machine.
        sample: the calibration reviews.
        scores: one entry per metric, in the order asked.
        kl: KL(FP32 || quantized) of the logits in nats, mean over reviews, per layer; empty where the scope
            has no logits per layer.
        agreement: rank correlations between the scores, and with the KL.
        quantizers: what quantized the probe; empty at 16 bits.
        gptq_sample: the calibration reviews that GPTQ looked at.
        stages: seconds.
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

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True, kw_only=True)
class Sensitivities:
    """A sensitivity file: the scores, and what the text file beside it says of them ("" when unknown)."""

    file_name: str
    values: tuple[float, ...]
    metric: str = ""
    model_name: str = ""
    samples: str = ""


@dataclass(frozen=True, kw_only=True)
class BitAllocation:
    """Bits per encoder layer.

    Args:
        method: the clustering.
        group_bits: bits per group, most sensitive group first.
        groups: group of each layer; 0 is the most sensitive.
        bits: bits of each layer, protected layers included.
        protected: layers that got more than their group's bits.
    """

    method: str
    group_bits: tuple[int, ...]
    groups: tuple[int, ...]
    bits: tuple[int, ...]
    protected: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Binary classification figures; positive class = 1.

    Args:
        accuracy: share of correct predictions.
        precision: true positives / predicted positives.
        recall: true positives / positives.
        f1: harmonic mean of the two.
        loss: mean cross-entropy in nats.
        correct: number of correct predictions.
        size: number of reviews.
        seconds: time of the forward passes.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    loss: float
    correct: int
    size: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SizeReport:
    """Bits of the model before and after, part by part.

    Args:
        linear_weights: weights in the Linear modules of the encoder layers.
        nominal_bits: those weights at their bit widths, without scales: the original tool's figure.
        scale_bits: their scales and zero points.
        embedding_weights: entries of the embedding tables.
        embedding_bits: the embedding tables as they are kept.
        norm_bits: LayerNorms, and the biases of the encoder layers, FP32.
        head_bits: pooler, classification head and what else there is, FP32.
    """

    linear_weights: int
    nominal_bits: int
    scale_bits: int
    embedding_weights: int
    embedding_bits: int
    norm_bits: int
    head_bits: int

    @property
    def quantized_bits(self) -> int:
        """Encoder Linear weights with scales and zero points."""
        return self.nominal_bits + self.scale_bits

    @property
    def original_bits(self) -> int:
        """Encoder Linear weights at FP32."""
        return 32 * self.linear_weights

    @property
    def ratio(self) -> float:
        """Encoder Linear weights: FP32 over quantized, scales included."""
        return self.original_bits / self.quantized_bits

    @property
    def bits_per_weight(self) -> float:
        """Bits per encoder Linear weight, scales included."""
        return self.quantized_bits / self.linear_weights

    @property
    def nominal_ratio(self) -> float:
        """Encoder Linear weights: FP32 over nominal bits, scales left out, as the original tool counts."""
        return self.original_bits / self.nominal_bits

    @property
    def whole_original_bits(self) -> int:
        """The whole model at FP32."""
        return self.original_bits + 32 * self.embedding_weights + self.norm_bits + self.head_bits

    @property
    def whole_bits(self) -> int:
        """The whole model after quantization."""
        return self.quantized_bits + self.embedding_bits + self.norm_bits + self.head_bits

    @property
    def whole_ratio(self) -> float:
        """Whole model: FP32 over quantized."""
        return self.whole_original_bits / self.whole_bits

    @property
    def whole_ratio_fp16(self) -> float:
        """Whole model: all of it in FP16 over quantized; FP16 is what costs nothing."""
        return self.whole_ratio / 2


@dataclass(frozen=True, kw_only=True)
class TrainedEvaluation:
    """The model after quantization-aware training, on the evaluation reviews.

    Args:
        accuracy: its figures.
        agreement: share of the reviews on which it predicts what the FP32 model does.
        sample: the calibration reviews that it was trained with.
        training: how the training went.
    """

    accuracy: Accuracy
    agreement: float
    sample: Sample
    training: TrainingReport


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What Phase 2 measured: the same reviews through the FP32 and through the quantized model.

    ``after`` and ``agreement`` are the model's after post-training quantization; ``trained`` is there when it
    has been trained after that.
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
    weights_fingerprint: str = ""  # SHA-256 of the evaluated weights; "" in old records
    weights_file: str = ""  # beside the record: weights that took reviews to make (GPTQ, training)

    @property
    def final(self) -> Accuracy:
        """The figures of the model that the run ends with."""
        return self.trained.accuracy if self.trained else self.after

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)
