"""From a classifier to what one pass over the calibration reviews tells of its layers."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.compute.checkpoints import Checkpoints, pass_identity
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.forward import BatchUse
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.records.context import Stage
from bert_mpq.records.sensitivity import Stopping
from bert_mpq.sensitivity.accumulation import BLOCKS, Accumulation
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.sensitivity.live_scores import LiveScores
from bert_mpq.sensitivity.one_pass import PASS_TITLE, Pass
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.stability import Stability
from bert_mpq.sensitivity.twins import Twins, made_with_twins
from bert_mpq.sources.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one pass gave.

    Args:
        sums: moments and KL of every probed layer, by block.
        batches: what was run; its budget counts the streams that are computed.
        scope: as in ``Probe``.
        widths: probed widths; the probes of a layer follow one another.
        confidence: that all reviews would give the same allocation; None where it was not asked.
        weight_errors: relative squared error of the quantized weights, one per probe.
    """

    sums: BlockSums
    batches: BatchUse
    stages: tuple[Stage, ...]
    scope: str
    widths: int = 1
    confidence: float | None = None
    weight_errors: tuple[float, ...] = ()

    def of_width(self, index: int) -> "Measurement":
        """Return what was measured at one of the probed widths: the sums are shared."""
        return replace(
            self,
            sums=self.sums.every(index, self.widths),
            widths=1,
            weight_errors=self.weight_errors[index :: self.widths],
        )

    @property
    def used(self) -> int:
        """Reviews that were run; the first so many of the sample."""
        return int(self.sums.done.sum())

    @property
    def stopping(self) -> Stopping | None:
        """How a run with ``Stability`` ended."""
        if self.confidence is None:
            return None
        return Stopping(used=self.used, available=len(self.sums.done), confidence=self.confidence)

    @property
    def kl(self) -> tuple[float, ...]:
        """Mean KL of the logits in nats, one per layer; empty where there is none.

        Scope cumulative has one KL, that of the whole model: no layer's own.
        """
        if self.scope != "propagated" or self.sums.kl is None:
            return ()
        return tuple((self.sums.kl.sum(0) / self.used).tolist())


def measure(
    classifier: Classifier,
    work: Workload,
    probe: Probe,
    reporter: Reporter,
    calibration: Workload | None = None,
    checkpoints: Checkpoints | None = None,
    stability: Stability | None = None,
    blocks: int = BLOCKS,
    twins: Callable[[], Twins] | None = None,
) -> Measurement:
    """Run the probed model once over the sample; activations are added up and never stored.

    Several processes share the batches that one would run, and all of them get the sums.

    Args:
        work: the calibration reviews and where to run; tokens per forward pass are counted over the streams
            that are computed.
        calibration: reviews for GPTQ, which quantizes the probes; without them ``rtn-mse`` does.
        checkpoints: where to go on from, and to write to; default none.
        stability: stop as soon as more reviews would not change the allocation; default use them all.
        blocks: of reviews, for intervals; each takes memory (see ``Accumulation``).
        twins: returns those of whole layers, at the widths of ``probe`` and perhaps more, where another pass
            has them, too; default make them.

    Raises:
        MpqError: E-MODEL when a weight or the FP32 output holds NaN or infinity; E-MEMORY, E-DISTRIBUTED.
    """
    ready = twins or functools.partial(Twins.of, classifier.model, probe, calibration, reporter)
    probed, module, quantizing = made_with_twins(
        lambda: ProbedClassifier(ready().for_probe(probe)), work.machine, reporter
    )
    tokens = work.stacked_tokens(probed.computed)
    work = replace(work, asked=max(1, tokens // probed.computed))
    one_pass = _one_pass(classifier, work, probed, reporter, checkpoints, stability, blocks)
    forward = functools.partial(_forward, module, work.machine, probe.pooling == "none")
    confidence = functools.partial(stability.confidence, reporter=reporter) if stability else None
    used = one_pass.run(forward, confidence)
    budget = tokens if used.budget == work.batch_tokens else used.budget * probed.computed
    return _measurement(one_pass, probed, BatchUse(largest=used.largest, budget=budget), quantizing)


def _one_pass(
    classifier: Classifier,
    work: Workload,
    probed: ProbedClassifier,
    reporter: Reporter,
    checkpoints: Checkpoints | None,
    stability: Stability | None,
    blocks: int,
) -> Pass:
    probe, hidden, reviews = probed.probe, classifier.source.hidden, len(work.tokens)
    looks = stability.looks(reviews, hidden) if stability else [reviews]
    identity = functools.partial(_identity, probed, probe, work, looks)
    return Pass(
        Accumulation.on(work.machine, hidden, probed.probes, reviews, blocks),
        work,
        reporter,
        looks,
        LiveScores(reporter, _unit_names(classifier.model, probe), probe.bits),
        checkpoints.open(PASS_TITLE, identity) if checkpoints else None,
    )


def _unit_names(model: nn.Module, probe: Probe) -> list[str]:
    units = outline_of(model).units(probe.granularity, tie=False)
    return [unit.name for place, unit in enumerate(units) if probe.chosen is None or place in probe.chosen]


def _measurement(
    one_pass: Pass, probed: ProbedClassifier, batches: BatchUse, quantizing: Stage
) -> Measurement:
    return Measurement(
        stages=(quantizing, Stage(name=PASS_TITLE, seconds=one_pass.seconds)),
        sums=one_pass.sums.so_far(),
        confidence=one_pass.confidence,
        batches=batches,
        scope=probed.probe.scope,
        widths=len(probed.probe.bits),
        weight_errors=probed.weight_errors(),
    )


def _forward(
    module: nn.Module, machine: Machine, every_token: bool, batch: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """Return reference and perturbed rows and the KL of the logits of a batch."""
    with machine.arithmetic():
        reference, perturbed, logits = module(**batch.inputs(machine))
        if every_token:
            # Counted on the host: a mask on the GPU would have to be waited for.
            kept = machine.move(batch.attention_mask.flatten().nonzero().squeeze(1))
            reference, perturbed = (_token_rows(side, kept) for side in (reference, perturbed))
        return reference, perturbed, kl_of_logits(logits[:, :1], logits[:, 1:])


def _identity(probed: ProbedClassifier, probe: Probe, work: Workload, looks: list[int]) -> dict[str, str]:
    return {
        "looks": str(looks),
        "scope": probe.scope,
        "pooling": probe.pooling,
        "units": str(sorted(probe.chosen)) if probe.chosen is not None else "",
        **pass_identity(probed, work),
    }


def _token_rows(side: Tensor, kept: Tensor) -> Tensor:
    """Return (tokens, K, hidden) from (B, K, T, hidden) and the positions of the real tokens in B x T."""
    return side.transpose(1, 2).flatten(0, 1).index_select(0, kept)
