"""The one description of a run: every front end (wizard, flags, JSON file, Python) builds a ``RunConfig``."""

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bert_mpq.settings.bits import SUPPORTED_BITS, check_bits
from bert_mpq.settings.choices import (
    Clustering,
    Device,
    EmbeddingPrecision,
    Granularity,
    Pooling,
    Precision,
    Sampling,
    Scope,
)
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.metrics import METRICS, Metric, Rows
from bert_mpq.settings.quantizers import QuantizerName
from bert_mpq.settings.targets import EXAMPLES, Target, parse_pin, parse_target
from bert_mpq.settings.type_hints import fits

GROUP_SIZES = (32, 64, 128)
LOWEST = {
    "fit_head": 10,
    "calibration_size": 1,
    "gptq_reviews": 1,
    "eval_size": 1,
    "max_length": 8,
    "batch_tokens": 8,
    "max_widths": 1,
    "protect_last": 0,
    "qat_epochs": 0,
    "qat_reviews": 20,
    "seed": 0,
}
LARGEST = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What to run. Every field is one command-line flag of the same name.

    Args:
        model: ``default`` (textattack/bert-base-uncased-imdb, or the embedded classifier without a hub),
            ``embedded``, a hub id or a folder.
        data: ``imdb``, or a local CSV / JSON / Parquet file or Arrow folder with ``text`` and ``label``.
        device: where the model runs; ``auto`` takes CUDA, then MPS, then the CPU.
        precision: arithmetic of the forward passes; ``tf32`` and ``bf16`` are faster and rounder.
        fit_head: fit the classification head on this many calibration reviews (for a model that was only
            pretrained); None = keep the head it has.
        output: the folder that holds ``Sensitivities/`` and ``Evaluation/``.
        calibration_size: calibration reviews for Phase 1; None = the whole split.
        sampling: how both samples are drawn.
        metrics: scores to compute. The first one that has enough reviews decides the allocation of a full
            run; with ``until_stable`` the first one.
        probe_bits: widths of the fake-quantized layer in Phase 1; the sensitivity files hold the scores of
            the first. None = 4, and 4, 2, 3 and 8 where a budget is to be planned.
        scope: where the effect of quantizing a layer is measured (see ``bert_mpq.probing``).
        pooling: how a review's token vectors become one row; ``none`` makes every token a row.
        until_stable: stop Phase 1 as soon as more reviews would not change the allocation (95 %).
        granularity: what ``validate`` quantizes at a time: an encoder layer, or a Linear module.
        sensitivities: sensitivity file for Phase 2; None = the one Phase 1 has just written.
        eval_size: evaluation reviews for Phase 2; None = the whole split.
        clustering: how layers are grouped by score; ``budget`` finds the best bits for ``target`` instead.
        bits: bits per group, most sensitive group first; its length is the number of groups.
        target: what a budget asks for: ``4x``, ``30MB``, ``4.5bits`` or ``0.5pp`` (see ``bert_mpq.targets``).
        score: the loss that a budget minimises.
        pin: layers that a budget keeps at a width, as ``layer_11=16``.
        max_widths: most distinct widths in a budget's allocation; None = any number.
        quantizer: the algorithm below 16 bits (see ``bert_mpq.quantizer``).
        group_size: input weights that share a scale; None = a whole output channel.
        gptq_reviews: calibration reviews that GPTQ looks at, in both phases.
        embeddings: precision in which the embedding tables are kept.
        protect_last: keep this many last encoder layers at 16 bits or more.
        qat_epochs: epochs of quantization-aware training after the quantization; 0 = none.
        qat_reviews: calibration reviews to train on, the validation slice included; None = the whole split.
        qat_learning_rate: peak learning rate of that training.
        max_length: tokens per review; None = the model's own maximum, at most 512 (embedded: 256).
        batch_tokens: tokens per forward pass, padding included; None = chosen for the device.
        seed: seed of every random choice.

    Raises:
        UsageError: a field has a value that no run can have.
    """

    model: str = "default"
    data: str = "imdb"
    device: Device = "auto"
    precision: Precision = "fp32"
    fit_head: int | None = None
    output: str = "."
    calibration_size: int | None = None
    sampling: Sampling = "stratified"
    metrics: tuple[Metric, ...] = ("pwcca", "cka")
    probe_bits: tuple[int, ...] | None = None
    scope: Scope = "propagated"
    pooling: Pooling = "mean"
    until_stable: bool = False
    granularity: Granularity = "layer"
    sensitivities: str | None = None
    eval_size: int | None = None
    clustering: Clustering = "kmeans"
    bits: tuple[int, ...] = (16, 8, 4)
    target: str | None = None
    score: Metric = "kl"
    pin: tuple[str, ...] = ()
    max_widths: int | None = None
    quantizer: QuantizerName = "auto"
    group_size: int | None = 64
    gptq_reviews: int = 128
    embeddings: EmbeddingPrecision = "fp32"
    protect_last: int = 0
    qat_epochs: int = 0
    qat_reviews: int | None = None
    qat_learning_rate: float = 2e-4
    max_length: int | None = None
    batch_tokens: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        for field, hint in typing.get_type_hints(type(self)).items():
            _check_type(field, getattr(self, field), hint)
        check_bits(self.bits)
        _check_probe_bits(self.probe_bits)
        self._check_budget()
        if self.until_stable and self.clustering == "budget":
            raise _invalid("until-stable", "clustering budget", "it watches the groups of a clustering")
        if not self.metrics or len(set(self.metrics)) != len(self.metrics):
            raise _invalid("metrics", ",".join(self.metrics), "name each metric once, at least one")
        if self.group_size is not None and self.group_size not in GROUP_SIZES:
            raise _invalid("group-size", self.group_size, "use channel, 32, 64 or 128")
        for name, low in LOWEST.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= LARGEST:
                raise _invalid(name.replace("_", "-"), value, f"use a whole number from {low} to {LARGEST:,}")
        if not 0 < self.qat_learning_rate <= 1:
            raise _invalid("qat-learning-rate", self.qat_learning_rate, "use a number such as 0.0002")
        of_logits = [metric for metric in self.metrics if METRICS[metric].of_logits]
        if of_logits and self.scope != "propagated":
            raise _invalid("metrics", of_logits[0], "only --scope propagated has logits for each layer")
        if not self.model.strip() or not self.data.strip():
            raise _invalid("model" if not self.model.strip() else "data", "", "give a name or a path")

    @property
    def head_text(self) -> str:
        """Where the classification head comes from; empty when it is the model's own."""
        return f"fitted on {self.fit_head:,} calibration reviews" if self.fit_head else ""

    @property
    def rows(self) -> Rows:
        """What Phase 1 compares: a row per review, or one per token."""
        return "tokens" if self.pooling == "none" else "reviews"

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that Phase 1 probes; the first one's scores go into the sensitivity files."""
        if self.probe_bits is not None:
            return self.probe_bits
        return (4, 2, 3, 8) if self.clustering == "budget" else (4,)

    @property
    def goal(self) -> Target:
        """What a budget asks for.

        Raises:
            UsageError: E-BUDGET when nothing is asked for.
        """
        if self.target is None:
            raise UsageError("E-BUDGET", "A budget needs a target.", f"Give --target: {EXAMPLES}.")
        return parse_target(self.target)

    @property
    def pins(self) -> dict[int, int]:
        """Bits of the pinned layers."""
        return dict(map(parse_pin, self.pin))

    def _check_budget(self) -> None:
        if self.target is not None:
            parse_target(self.target)
        pins = [parse_pin(text) for text in self.pin]
        for layer, bits in pins:
            if bits not in SUPPORTED_BITS:
                raise UsageError("E-BITS-VALUE", f"layer_{layer}={bits}: use 2, 3, 4, 6, 8, 16 or 32 bits.")
        if len({layer for layer, _ in pins}) < len(pins):
            raise _invalid("pin", ",".join(self.pin), "pin each layer once")
        if (self.clustering == "budget") != (self.target is not None):
            missing = "--target" if self.target is None else "--clustering budget"
            given = "--clustering budget" if self.target is None else "--target"
            raise UsageError("E-BUDGET", f"{given} needs {missing}.", f"A target is {EXAMPLES}.")

    def replace(self, **changes: Any) -> "RunConfig":
        """Return a copy with ``changes``; raises UsageError as the constructor does."""
        return dataclasses.replace(self, **changes)


def to_json(config: RunConfig) -> dict[str, Any]:
    """Return ``config`` as JSON values, one key per field."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config).items()
    }


def from_json(values: object) -> RunConfig:
    """Read what ``to_json`` returned; absent keys keep their defaults.

    Raises:
        MpqError: E-CONFIG, for a key or a type that no RunConfig has.
    """
    if not isinstance(values, Mapping):
        raise MpqError("E-CONFIG", "The configuration is not a JSON object.")
    known = {field.name for field in dataclasses.fields(RunConfig)}
    unknown = sorted(str(key) for key in values if key not in known)
    if unknown:
        raise MpqError("E-CONFIG", f'"{unknown[0]}" is no setting of a run.', "See bert-mpq run --help.")
    given: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    if type(given.get("probe_bits")) is int:  # one width may stand without brackets
        given["probe_bits"] = (given["probe_bits"],)
    return RunConfig(**given)


def _check_probe_bits(widths: tuple[int, ...] | None) -> None:
    if widths is None:
        return
    if not widths or len(set(widths)) < len(widths) or not {*widths} <= {*SUPPORTED_BITS} - {32}:
        shown = ",".join(map(str, widths))
        raise _invalid("probe-bits", shown, "use 2, 3, 4, 6, 8 or 16, each once")


def _check_type(field: str, value: object, hint: Any) -> None:
    if not fits(value, hint):
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        raise _invalid(field.replace("_", "-"), value, f"use {', '.join(choices)}" if choices else "")


def _invalid(flag: str, value: object, hint: str) -> UsageError:
    sentence = f"--{flag} cannot be {value!r}"
    return UsageError("E-CONFIG", f"{sentence}: {hint}." if hint else f"{sentence}.")
