"""From a quantized model to a better one of the same size: steps, checks, early stop, checkpoints."""

import copy
import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from bert_mpq.compute.batches import Indices
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.forward import attempted, no_memory
from bert_mpq.compute.optimization import Optimization
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.checkpoint import Counters, TrainingCheckpoint, restored, snapshot
from bert_mpq.quantization.training.distillation import distillation_loss
from bert_mpq.quantization.training.recipe import Order, Recipe, make_order
from bert_mpq.quantization.training.student import LATENT, Frozen, Student, apply
from bert_mpq.records.training import CurvePoint, TrainingReport
from bert_mpq.settings.errors import MpqError

TRAINING_TITLE = "Quantization-aware training"


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A trained model.

    Args:
        quantized: the model, whose trained weights are codes * scale exactly, with bits and sizes as before.
    """

    quantized: QuantizedModel
    report: TrainingReport


class Training:
    """Trains the weights of a quantized model towards the FP32 model; bits and groups stay as they are.

    Args:
        teacher: the FP32 classifier; it is moved to the device and not changed.
        quantized: the same after post-training quantization, on symmetric grids; it is not changed, and kept
            when training does not help.
        work: calibration reviews, a slice of which is kept for validation, and where to run; one device is
            used, and batches of more tokens than a forward pass takes are added up from parts.
    """

    def __init__(self, teacher: nn.Module, quantized: QuantizedModel, work: Workload, recipe: Recipe) -> None:
        self._work = work.on_one_device()
        self._order = make_order(work.tokens.lengths, recipe)
        self._quantized, self._recipe = quantized, recipe
        self._student = Student(teacher, quantized)
        self._best = Frozen(weights=dict(quantized.weights), others=self._student.freeze().others)
        self._model = copy.deepcopy(quantized.model)  # for the checks, and at the end for the result
        self._slice = dataclasses.replace(self._work, tokens=work.tokens.take(self._order.validation))
        self._wanted = evaluate(teacher, self._slice, Silent(), "")
        device = work.machine.device
        self._teacher = teacher.to(device).eval()
        self._student.model.to(device)
        self._optimization = _optimization(self._student, recipe, self._order.steps, device)
        self._batch_tokens = work.batch_tokens
        self._loss = torch.zeros((), device=device)  # since the last check; read only there
        self._counters = Counters()

    def run(self, reporter: Reporter, checkpoint: TrainingCheckpoint | None = None) -> Retrained:
        """Train to the end, or until the validation slice has got no better for a while.

        Args:
            reporter: shows the progress, in tokens, and the figures of each check.
            checkpoint: where to go on from, if it is there, and to write to; removed at the end.

        Raises:
            MpqError: E-MEMORY, E-CHECKPOINT, E-DIVERGED.
        """
        if checkpoint is not None:
            self._resume(checkpoint, reporter)
        try:
            seconds = self._train(reporter, checkpoint)
        except MpqError as error:
            if checkpoint is not None and error.code == "E-DIVERGED":
                checkpoint.remove()
            raise
        except BaseException:
            if checkpoint is not None and checkpoint.path.exists():
                reporter.note(f"The training is kept in {checkpoint.path}: the same command goes on with it.")
            raise
        if checkpoint is not None:
            checkpoint.remove()
        apply(self._best, self._model)
        trained = dataclasses.replace(self._quantized, model=self._model, weights=self._best.weights)
        return Retrained(quantized=trained, report=self._report(seconds))

    def _train(self, reporter: Reporter, checkpoint: TrainingCheckpoint | None) -> float:
        """Make the steps that are left; return the seconds of the whole training."""
        started = reporter.clock() - self._counters.seconds
        if not self._counters.curve:
            self._check(self._best, reporter)
        checks = self._order.check_after()
        lengths = self._work.tokens.lengths
        left = sum(int(lengths[batch].sum()) for batch in self._batches())
        with self._work.machine.working(concurrent=False):
            for batch in reporter.track(
                self._batches(), TRAINING_TITLE, left, lambda b: int(lengths[b].sum())
            ):
                self._step(batch, reporter)
                counters = self._counters
                self._counters = dataclasses.replace(
                    counters,
                    steps=counters.steps + 1,
                    losses=counters.losses + 1,
                    seconds=reporter.clock() - started,
                )
                if self._counters.steps in checks:
                    self._check(self._student.freeze(), reporter)
                if checkpoint is not None and checkpoint.due:
                    checkpoint.write(snapshot(self._optimization, self._loss, self._best, self._counters))
        return reporter.clock() - started

    def _batches(self) -> Iterator[Indices]:
        """Yield the batches that are left, as long as there is reason to go on."""
        first, per_epoch = self._counters.steps, self._order.steps_per_epoch
        for epoch in range(first // per_epoch, self._recipe.epochs):
            batches = self._order.epoch(epoch)
            for batch in batches[max(0, first - epoch * per_epoch) :]:
                if self._out_of_patience:
                    return
                yield batch

    @property
    def _out_of_patience(self) -> bool:
        best = self._counters.best.step
        return sum(point.step > best for point in self._counters.curve) >= self._recipe.patience

    def _step(self, batch: Indices, reporter: Reporter) -> None:
        """Make one optimizer step; with smaller parts when memory runs out."""
        while (loss := attempted(functools.partial(self._gradients, batch))) is None:
            if len(batch) == 1 or self._batch_tokens <= int(self._work.tokens.lengths[batch].min()):
                raise no_memory()
            self._batch_tokens //= 2
            reporter.note(f"Out of memory: going on with {self._batch_tokens:,} tokens per forward pass.")
        self._optimization.step()
        self._loss += loss[0]

    def _gradients(self, batch: Indices) -> torch.Tensor:
        """Leave the gradients of the batch's mean loss in the parameters; return the loss."""
        self._student.model.zero_grad(set_to_none=True)  # memory may have run out in the middle
        total = torch.zeros_like(self._loss)
        for part in self._work.tokens.plan(self._batch_tokens, batch):
            loss = distillation_loss(
                self._teacher,
                self._student.model,
                self._work.tokens.batch(part),
                self._work.machine,
                self._recipe.hidden_weight,
            ) / len(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def _check(self, frozen: Frozen, reporter: Reporter) -> None:
        """Measure a frozen model on the validation slice and keep it when it is the best so far.

        Raises:
            MpqError: E-DIVERGED when the loss is no number any more.
        """
        counters = self._counters
        loss = float(self._loss) / counters.losses if counters.losses else None
        if loss is not None and not loss < float("inf"):
            raise MpqError(
                "E-DIVERGED",
                f"The training diverged before step {counters.steps:,}: its loss is no finite number.",
                f"Use a lower --qat-learning-rate than {self._recipe.learning_rate:g}.",
            )
        apply(frozen, self._model)
        given = evaluate(self._model, self._slice, Silent(), "")
        point = CurvePoint(
            step=counters.steps,
            loss=loss,
            kl=given.divergence(self._wanted),
            agreement=given.agreement(self._wanted),
            accuracy=given.accuracy.accuracy,
        )
        self._counters = dataclasses.replace(counters, curve=(*counters.curve, point), losses=0)
        if self._counters.best is point:
            self._best = frozen
        self._loss.zero_()
        reporter.note(_sentence(point, self._order))

    def _resume(self, checkpoint: TrainingCheckpoint, reporter: Reporter) -> None:
        found = checkpoint.restore(lambda state: restored(state, self._optimization, self._loss))
        if found is not None:
            self._counters, self._best = found
            step = f"step {self._counters.steps:,} of {self._order.steps:,}"
            reporter.note(f"Going on from {step} ({checkpoint.path}).")

    def _report(self, seconds: float) -> TrainingReport:
        return TrainingReport(
            training_reviews=len(self._order.training),
            validation_reviews=len(self._order.validation),
            batch_size=self._recipe.batch_size,
            learning_rate=self._recipe.learning_rate,
            planned_steps=self._order.steps,
            steps=self._counters.steps,
            best_step=self._counters.best.step,
            curve=self._counters.curve,
            seconds=seconds,
        )


def _optimization(student: Student, recipe: Recipe, steps: int, device: torch.device) -> Optimization:
    """Latent weights decay; steps, biases and LayerNorms do not."""
    trained = student.trained
    groups = [
        {
            "params": [value for name, value in trained.items() if name.endswith(LATENT) is decays],
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=device.type == "cuda")
    from transformers import get_linear_schedule_with_warmup  # through it transformers' trainer

    return Optimization(
        parameters=trained,
        optimizer=optimizer,
        schedule=get_linear_schedule_with_warmup(optimizer, max(1, round(recipe.warm_up * steps)), steps),
        gradient_norm=recipe.gradient_norm,
    )


def _sentence(point: CurvePoint, order: Order) -> str:
    moment = f"step {point.step:,} of {order.steps:,}" if point.step else "before training"
    return (
        f"Validation slice, {moment}: KL to FP32 {point.kl:.5f}, same prediction {point.agreement:.1%}, "
        f"accuracy {point.accuracy:.1%}"
    )
