"""The one description of a run: every front end (wizard, flags, JSON file, Python) builds a ``RunConfig``."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from bert_mpq.settings.bits import parse_bits
from bert_mpq.settings.checks import check_config
from bert_mpq.settings.choices import Clustering, Granularity, Pooling, Sampling, Scope
from bert_mpq.settings.embeddings import EmbeddingChoice, EmbeddingPrecision
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import common, phase_1, phase_2
from bert_mpq.settings.metrics import METRICS, Metric, Rows
from bert_mpq.settings.quantizers import GROUP_SIZES, QuantizerName
from bert_mpq.settings.source_settings import SourceSettings
from bert_mpq.settings.targets import EXAMPLES, Target, parse_pin, parse_target

BUDGET_WIDTHS = (4, 2, 3, 8)  # the first one is that of the sensitivity files
TRAINING = ("quantize", "run", "sweep")  # the commands that train


@dataclass(frozen=True, kw_only=True)
class RunConfig(SourceSettings):
    """What to run. Every field is one command-line flag of the same name, whose help says what it sets.

    Model, data and device are fields of ``SourceSettings``.

    Args:
        metrics: scores to compute. Which one decides the allocation of a full run: see
            ``bert_mpq.records.decision``.
        probe_bits: widths of the fake-quantized layer in Phase 1; the sensitivity files hold the scores of
            the first. None = 4, and 4, 2, 3 and 8 where a budget is to be planned.
        scope: where the effect of quantizing a layer is measured (see ``bert_mpq.sensitivity.probe``).
        granularity: what has a width of its own in a budget, and what ``validate`` quantizes at a time: an
            encoder layer, or a Linear module.
        tie: keep query, key and value of an attention at one width where Linears have their own.
        exact: whether ``validate`` measures every unit, instead of 12 at each width.
        sensitivities: sensitivity file for Phase 2; None = the one Phase 1 has just written.
        clustering: how layers are grouped by score; ``budget`` finds the best bits for ``target`` instead.
        bits: bits per group, most sensitive group first; its length is the number of groups.
        target: what a budget asks for: ``4x``, ``30MB``, ``4.5bits`` or ``0.5pp``; see ``parse_target``.
        score: the loss that a budget minimises. Where several widths are probed Phase 1 measures it at all of
            them, and what else it measures at the first one alone; predicted damage comes at every width.
        pin: layers, modules or Linears that a budget keeps at a width, by name or pattern, as
            ``layer_11=16`` or ``*.attention.*=8``.
        refine: plans of the target's size to measure as a whole on calibration reviews, a forward pass each;
            the best is taken. None = as many as take less than the evaluation.
        quantizer: the algorithm below 16 bits (see ``bert_mpq.settings.quantizers``).
        gptq_reviews: calibration reviews that GPTQ and learned rounding look at; None = 128 and 512.
        embeddings: precision of all embedding tables (see ``bert_mpq.settings.embeddings``); ``auto``: fp32,
            or what a budget of the whole model takes.
        qat_reviews: calibration reviews to train on, the validation slice included; None = the whole split.
        max_length: tokens per review; None = the model's own maximum, at most 512 (embedded: 256).
        batch_tokens: tokens per forward pass, padding included; None = chosen for the device.

    Raises:
        UsageError: a field has a value that no run can have.
    """

    calibration_size: int | None = phase_1(
        None, "calibration reviews", shown="N|all", none="all", remembered=True, lowest=1
    )
    sampling: Sampling = common("stratified", "how reviews are drawn", remembered=True)
    metrics: tuple[Metric, ...] = phase_1(
        ("pwcca", "cka"),
        "comma-separated; the one that agrees best with the measured damage decides the bits",
        commands=("sensitivity", "run", "plan", "validate"),
        remembered=True,
    )
    probe_bits: tuple[int, ...] | None = phase_1(
        None,
        "bits of the fake-quantized layer, or several widths for a budget",
        shown="4|2,3,4,8",
        none="auto",
    )
    scope: Scope = phase_1(
        "propagated",
        "compare after the last layer, after the layer itself, or all quantized",
        commands=("sensitivity", "run", "plan", "sweep"),
    )
    pooling: Pooling = phase_1(
        "mean", "rows to compare: mean over tokens, the first token, or every token (none)"
    )
    until_stable: bool = phase_1(
        False,
        "stop once more reviews would not change the bit allocation (95 %% sure)",
        commands=("sensitivity", "run"),
        remembered=True,
    )
    granularity: Granularity = common(
        "layer",
        "what has bits of its own in a budget, and what validate quantizes at a time",
        commands=("sensitivity", "quantize", "run", "plan", "validate"),
        remembered=True,
    )
    tie: bool = phase_2(
        True,
        "query, key and value of an attention have the same bits (with --granularity linear)",
        commands=("quantize", "run", "plan"),
    )
    exact: bool = common(False, "validate: measure every unit, not 12 at each width", commands=("validate",))
    sensitivities: str | None = phase_2(
        None, "sensitivity file of Phase 1", shown="FILE", commands=("quantize", "plan"), remembered=True
    )
    eval_size: int | None = phase_2(
        None,
        "evaluation reviews",
        shown="N|all",
        none="all",
        commands=("quantize", "run", "plan", "sweep", "validate"),
        remembered=True,
        lowest=1,
    )
    clustering: Clustering = phase_2(
        "kmeans",
        "how layers are grouped by score, or the best bits for a target",
        commands=("sensitivity", "quantize", "run", "sweep"),
        remembered=True,
    )
    bits: tuple[int, ...] = phase_2(
        (16, 8, 4),
        "bits per group, most sensitive group first",
        shown="16,8,4",
        reader=parse_bits,
        commands=("sensitivity", "quantize", "run"),
        remembered=True,
    )
    target: str | None = phase_2(
        None,
        "what a budget asks for",
        shown="1.5x|50MB|4.5bits|0.5pp",
        none="none",
        commands=("quantize", "run", "plan"),
        remembered=True,
    )
    score: Metric = common(
        "predicted",
        "the loss that a budget minimises; Phase 1 has it at every width",
        commands=("sensitivity", "quantize", "run", "plan", "sweep"),
    )
    pin: tuple[str, ...] = phase_2(
        (), "keep layers or Linears at a width; may be repeated", shown="NAME=BITS", repeats=True
    )
    max_widths: int | None = phase_2(
        None, "most distinct widths of a budget", shown="N|any", none="any", lowest=1
    )
    refine: int | None = phase_2(
        None,
        "plans of the target's size to measure on calibration reviews; auto takes less than the evaluation",
        shown="N|auto",
        none="auto",
        commands=("quantize", "run", "plan"),
        lowest=0,
    )
    quantizer: QuantizerName = common("auto", "weight quantizer")
    group_size: int | None = common(
        64, "weights that share one scale", shown=f"channel|{'|'.join(map(str, GROUP_SIZES))}", none="channel"
    )
    gptq_reviews: int | None = common(
        None, "calibration reviews for GPTQ and learned rounding", shown="N", none="auto", lowest=1
    )
    embeddings: EmbeddingChoice = phase_2(
        "auto", "precision of the embedding tables; auto: fp32, or what a budget of the whole model takes"
    )
    protect_last: int = phase_2(
        0,
        "keep the last N layers at 16 bits or more",
        shown="N",
        commands=("sensitivity", "quantize", "run", "plan", "sweep"),
        lowest=0,
    )
    qat_epochs: int = phase_2(
        0, "epochs of quantization-aware training afterwards, 1 to 3", shown="N", commands=TRAINING, lowest=0
    )
    qat_reviews: int | None = phase_2(
        None, "calibration reviews for that training", shown="N|all", none="all", commands=TRAINING, lowest=20
    )
    qat_learning_rate: float = phase_2(2e-4, "its peak learning rate", shown="X", commands=TRAINING)
    max_length: int | None = common(
        None, "tokens per review", shown="N", none="auto", remembered=True, lowest=8
    )
    batch_tokens: int | None = common(None, "tokens per forward pass", shown="N", none="auto", lowest=8)
    seed: int = common(42, "random seed", shown="N", lowest=0)

    def __post_init__(self) -> None:
        check_config(self)

    @property
    def rows(self) -> Rows:
        """What Phase 1 compares: a row per review, or one per token."""
        return "tokens" if self.pooling == "none" else "reviews"

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that Phase 1 probes; the first one's scores go into the sensitivity files."""
        if self.probe_bits is not None:
            return self.probe_bits
        return BUDGET_WIDTHS if self.clustering == "budget" else BUDGET_WIDTHS[:1]

    @property
    def embedding_precision(self) -> EmbeddingPrecision:
        """The precision of the embedding tables where no budget chooses it."""
        return "fp32" if self.embeddings == "auto" else self.embeddings

    @property
    def chooses_embeddings(self) -> bool:
        """Whether the precision of the embeddings is chosen with the bits: by a budget of the whole model.

        Their loss is a KL of the logits, which adds up with no other score.
        """
        whole = self.clustering == "budget" and self.goal.kind != "bits"
        return whole and self.embeddings == "auto" and METRICS[self.score].of_logits

    @property
    def measured_widths(self) -> tuple[int, ...]:
        """The widths at which Phase 1 runs quantized layers; empty where it only predicts the damage."""
        if METRICS[self.score].measured and len(self.widths) > 1:
            return self.widths
        return self.widths[:1] if any(METRICS[metric].measured for metric in self.metrics) else ()

    @property
    def predicts(self) -> bool:
        """Whether Phase 1 predicts the damage: where it was asked to, and where a budget could need it."""
        return not all(METRICS[metric].measured for metric in self.metrics) or len(self.widths) > 1

    @property
    def goal(self) -> Target:
        """What a budget asks for; raises UsageError E-BUDGET when nothing is asked for."""
        if self.target is None:
            raise UsageError("E-BUDGET", "A budget needs a target.", f"Give --target: {EXAMPLES}.")
        return parse_target(self.target)

    @property
    def pins(self) -> tuple[tuple[str, int], ...]:
        """Patterns of names, and the bits of what they match."""
        return tuple(map(parse_pin, self.pin))

    def replace(self, **changes: Any) -> "RunConfig":
        """Return a copy with ``changes``; raises UsageError as the constructor does."""
        return dataclasses.replace(self, **changes)
