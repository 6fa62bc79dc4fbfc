"""The damage of every Linear at every width, predicted in one backward pass over the reviews."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special
import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.compute.checkpoints import Checkpoints, pass_identity
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.forward import BatchUse
from bert_mpq.compute.per_review import Answers, answer_each_review
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.records.context import Stage
from bert_mpq.sensitivity.accumulation import BLOCKS
from bert_mpq.sensitivity.differentiated_classifier import DifferentiatedClassifier
from bert_mpq.sensitivity.estimates import Estimate, divergence_estimate
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.twins import Twins, made_with_twins
from bert_mpq.settings.choices import Granularity
from bert_mpq.settings.errors import ModelError

PREDICTION_TITLE = "Predict the damage"
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PredictedDamage:
    """What one backward pass tells of every Linear of the encoder, review by review.

    Args:
        units: the Linears, as ``layer_3.attention.self.query``, first layer first.
        widths: the probed widths, in the order asked.
        margins: (n,) z_1 - z_0 of the FP32 model.
        changes: (n, units, widths) float32: by how much, to first order, each moves the margin.
        batches: what was run; its budget is in tokens.
        stages: seconds.
    """

    units: tuple[str, ...]
    widths: tuple[int, ...]
    margins: Array
    changes: npt.NDArray[np.float32]
    batches: BatchUse
    stages: tuple[Stage, ...]

    def of_units(self, granularity: Granularity) -> Array:
        """Return the (n, units, widths) changes of the margin by whole layers, or by single Linears.

        A layer's change is the sum of those of its Linears.
        """
        if granularity == "linear":
            return self.changes.astype(np.float64)
        layers = [unit.partition(".")[0] for unit in self.units]
        starts = [index for index, layer in enumerate(layers) if layer not in layers[:index]]
        return np.asarray(np.add.reduceat(self.changes.astype(np.float64), starts, axis=1))

    def losses(self, granularity: Granularity) -> Array:
        """Return the (units, widths) predicted KL in nats, mean over the reviews."""
        return np.asarray(self.divergence(self.of_units(granularity)).mean(0))

    def estimate(self, granularity: Granularity, width: int, blocks: int = BLOCKS) -> Estimate:
        """Return the predicted KL of every unit at one width, with the jackknife of all scores.

        Args:
            width: its place in ``widths``.
            blocks: review i belongs to block i % blocks.
        """
        found = self.divergence(self.of_units(granularity)[:, :, width])
        counts = np.array([len(found[block::blocks]) for block in range(blocks)])
        sums = np.stack([found[block::blocks].sum(0) for block in range(blocks)])
        return divergence_estimate("predicted", sums, counts)

    def divergence(self, changes: Array) -> Array:
        """Return KL(FP32, changed) in nats of every review, for (n, ...) changes of its margin."""
        margins = self.margins.reshape(-1, *(1 for _ in changes.shape[1:]))
        return margin_divergence(margins, changes)


def margin_divergence(margins: Array, changes: Array) -> Array:
    """Return the KL of two Bernoullis with logits m and m + dm, exact however small dm is.

    KL = log((1 + e^(m + dm)) / (1 + e^m)) - p dm = log(1 + p (e^dm - 1)) - p dm, with p = sigma(m). The
    labels are swapped where dm > 0, so that e^dm cannot overflow.
    """
    falling = -np.abs(changes)
    towards = np.where(changes > 0, -margins, margins)
    p = scipy.special.expit(towards)
    near = np.log1p(p * np.expm1(np.maximum(falling, -1.0))) - p * falling
    far = np.logaddexp(0.0, towards + falling) - np.logaddexp(0.0, towards) - p * falling
    return np.asarray(np.maximum(np.where(falling > -1.0, near, far), 0.0))


def predict(
    model: nn.Module,
    work: Workload,
    probe: Probe,
    reporter: Reporter,
    calibration: Workload | None = None,
    checkpoints: Checkpoints | None = None,
    twins: Callable[[], Twins] | None = None,
) -> PredictedDamage:
    """Predict what each Linear at each width does to the logits: about four forward passes.

    Several processes share the batches that one would run, and all of them get the result.

    Args:
        model: the FP32 classifier, left as it is.
        work: the calibration reviews and where to run.
        probe: widths and quantizer; the rest of it does not matter.
        calibration: reviews for GPTQ, which quantizes the probes; without them ``rtn-mse`` does.
        checkpoints: where to go on from, and to write to; default none.
        twins: returns those of whole layers, at the widths of ``probe`` and perhaps more, where another pass
            has them, too; default make them.

    Raises:
        MpqError: E-MODEL when the model has other than two labels, or a weight or the FP32 output holds NaN
            or infinity; E-MEMORY, E-DISTRIBUTED.
    """
    _check_labels(model)
    whole = dataclasses.replace(probe, granularity="layer", chosen=None)
    ready = twins or functools.partial(Twins.of, model, whole, calibration, reporter)
    own, module, quantizing = made_with_twins(
        lambda: DifferentiatedClassifier(ready().for_probe(whole)), work.machine, reporter
    )
    work = dataclasses.replace(work, asked=work.gradient_tokens)
    forward = functools.partial(_forward, module, work.machine)
    identity, columns = functools.partial(pass_identity, own, work), 1 + len(own.units) * own.widths
    answers = answer_each_review(forward, columns, work, reporter, PREDICTION_TITLE, identity, checkpoints)
    return _damage(own.units, probe.bits, answers, quantizing)


def _check_labels(model: nn.Module) -> None:
    labels = getattr(model.config, "num_labels", 2)
    if labels != 2:
        raise ModelError(
            f"The damage can be predicted for two labels; the model has {labels}.", "Use --metrics kl."
        )


def _damage(
    units: tuple[str, ...], widths: tuple[int, ...], answers: Answers, quantizing: Stage
) -> PredictedDamage:
    """Return the margin of every review, and the changes behind it."""
    margins = answers.rows[:, 0].astype(np.float64)
    if not np.isfinite(margins).all():
        raise ModelError("The FP32 model gives logits of NaN or infinity.", "Check the checkpoint.")
    return PredictedDamage(
        units=units,
        widths=widths,
        margins=margins,
        changes=answers.rows[:, 1:].reshape(len(margins), len(units), len(widths)),
        batches=answers.batches,
        stages=(quantizing, Stage(name=PREDICTION_TITLE, seconds=answers.seconds)),
    )


def _forward(module: nn.Module, machine: Machine, batch: Batch) -> Tensor:
    # Not in inference mode: what is made there, DataParallel's replicas too, cannot be differentiated.
    with machine.arithmetic(gradients=True), torch.no_grad():
        answer: Tensor = module(**batch.inputs(machine))
        return answer
