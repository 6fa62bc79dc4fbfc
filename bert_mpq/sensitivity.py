"""Phase 1: how much each encoder layer suffers from quantization, in one pass over the reviews."""

import math
import time
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from bert_mpq.config import Metric
from bert_mpq.errors import MpqError
from bert_mpq.probing import Probe, ProbedClassifier
from bert_mpq.reporting import Reporter
from bert_mpq.results import LayerScore, MetricAgreement, Scores, Stage
from bert_mpq.similarity import Moments, Similarity, cka, pwcca, svcca
from bert_mpq.sources.batches import Batch, TokenizedReviews
from bert_mpq.sources.classifiers import Classifier
from bert_mpq.sources.devices import Machine
from bert_mpq.sources.forward import BatchUse, run_batches

METRICS = {"pwcca": pwcca, "svcca": svcca, "cka": cka}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Moments of every layer, and the mean KL of the logits (one per layer; empty where there is none)."""

    moments: tuple[Moments, ...]
    kl: tuple[float, ...]
    batches: BatchUse  # its budget counts all streams
    stages: tuple[Stage, ...]


def measure(
    classifier: Classifier,
    tokens: TokenizedReviews,
    probe: Probe,
    machine: Machine,
    batch_tokens: int,
    reporter: Reporter,
) -> Measurement:
    """Run the probed model once over the sample; activations are added up and never stored.

    Args:
        classifier: the FP32 classifier, left as it is.
        tokens: the calibration reviews.
        probe: what to compare.
        machine: where to run.
        batch_tokens: tokens per forward pass, counted over all streams.
        reporter: shows the progress.

    Raises:
        MpqError: E-MODEL when the FP32 model gives NaN or infinity; E-MEMORY.
    """
    started = time.perf_counter()
    probed = ProbedClassifier(classifier.model, probe)
    module = machine.place(probed)
    quantized = time.perf_counter()
    moments = tuple(Moments(classifier.source.hidden) for _ in range(probed.probes))
    divergence: Tensor | None = None

    def forward(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        with machine.arithmetic():
            outputs = module(machine.move(batch.input_ids), machine.move(batch.attention_mask))
            reference, perturbed, logits = outputs
            return reference, perturbed, logits_divergence(logits).sum(0)

    budget = max(1, batch_tokens // probed.streams)
    batches = BatchUse(largest=0, budget=budget)
    for done in run_batches(tokens, budget, forward, machine, reporter, "Compare activations"):
        reference, perturbed, kl = done.result
        batches = batches.after(done)
        for layer, accumulator in enumerate(moments):
            accumulator.update(reference[:, min(layer, reference.shape[1] - 1)], perturbed[:, layer])
        divergence = kl if divergence is None else divergence + kl
    assert divergence is not None
    # Scope cumulative has one KL, that of the whole model: no layer's own.
    per_layer = divergence.tolist() if probe.scope == "propagated" else []
    return Measurement(
        moments=moments,
        kl=tuple(total / len(tokens) for total in per_layer),
        batches=BatchUse(
            largest=batches.largest,
            budget=batch_tokens if batches.budget == budget else batches.budget * probed.streams,
        ),
        stages=(
            Stage(name="Quantize the twins", seconds=quantized - started),
            Stage(name="Compare activations", seconds=time.perf_counter() - quantized),
        ),
    )


def logits_divergence(logits: Tensor) -> Tensor:
    """Return (B, K) KL(p_0 || p_k) in nats from logits (B, 1 + K, labels), in float64 where there is one."""
    wide = logits.cpu() if logits.device.type == "mps" else logits
    log_p = torch.log_softmax(wide.double(), -1)
    reference = log_p[:, :1]
    return (reference.exp() * (reference - log_p[:, 1:])).sum(-1)


def score(measurement: Measurement, metrics: tuple[Metric, ...], reporter: Reporter) -> tuple[Scores, ...]:
    """Turn moments into one score per metric and layer.

    Raises:
        MpqError: E-MODEL when the FP32 model gave NaN or infinity.
    """
    try:
        covariances = [moments.covariances() for moments in measurement.moments]
    except ValueError as error:
        raise MpqError("E-MODEL", f"The FP32 model is broken: {error}.", "Check the checkpoint.") from error
    scores = []
    for metric in reporter.track(metrics, "Score layers", len(metrics)):
        if metric == "kl":
            layers = [_kl_score(value) for value in measurement.kl]
        else:
            layers = [_layer_score(METRICS[metric](c)) for c in covariances]
        scores.append(Scores(metric=metric, layers=tuple(layers)))
    return tuple(scores)


def agreement(scores: tuple[Scores, ...], kl: tuple[float, ...]) -> tuple[MetricAgreement, ...]:
    """Return the rank correlation of every pair of scores, and of each with the KL of the logits."""
    named = [(entry.metric, entry.values) for entry in scores]
    if kl and all(name != "kl" for name, _ in named):
        named.append(("kl", kl))
    return tuple(
        MetricAgreement(first=a, second=b, spearman=_spearman(first, second))
        for (a, first), (b, second) in combinations(named, 2)
    )


def _spearman(first: tuple[float, ...], second: tuple[float, ...]) -> float | None:
    if len(set(first)) < 2 or len(set(second)) < 2 or not np.isfinite([*first, *second]).all():
        return None
    return float(scipy.stats.spearmanr(first, second).statistic)


def _kl_score(value: float) -> LayerScore:
    finite = math.isfinite(value)
    return LayerScore(
        value=max(value, 0.0) if finite else value,  # rounding can leave -1e-17
        status="ok" if finite else "nonfinite",
        explanation="" if finite else "the logits hold NaN or infinite values",
        usable=finite,
    )


def _layer_score(similarity: Similarity) -> LayerScore:
    return LayerScore(
        value=similarity.distance,
        status=similarity.status,
        explanation=similarity.explanation,
        ranks=similarity.ranks,
        usable=similarity.usable,
    )
