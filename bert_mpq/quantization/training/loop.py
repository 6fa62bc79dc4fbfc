"""The training loop: steps, checks on the validation slice, early stop, checkpoints."""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from transformers import get_linear_schedule_with_warmup

from bert_mpq.compute.devices import Machine
from bert_mpq.compute.forward import memory_ran_out, no_memory
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.training.checkpoint import Checkpoint
from bert_mpq.quantization.training.distillation import distillation_loss
from bert_mpq.quantization.training.order import Indices, Order
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.quantization.training.snapshot import Counters, restore, snapshot
from bert_mpq.quantization.training.student import LATENT, Frozen, Student
from bert_mpq.quantization.training.validation_slice import Validation
from bert_mpq.records.training import CurvePoint, TrainingReport
from bert_mpq.settings.errors import MpqError

TITLE = "Quantization-aware training"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training yields: the best model of its checks, and how it went."""

    frozen: Frozen
    report: TrainingReport


class Training:
    """One training, from the first step or from a checkpoint.

    Args:
        teacher: the FP32 classifier; it is moved to the device and not changed.
        student: what is trained.
        validation: measures frozen models.
        work: the sample, training and validation reviews, and where to run; one device is used, and batches
            of more tokens than a forward pass takes are added up from parts.
        order: which reviews when.
        recipe: how.
        start: the model after post-training quantization: what is kept when training does not help.
    """

    def __init__(
        self,
        *,
        teacher: nn.Module,
        student: Student,
        validation: Validation,
        work: Workload,
        order: Order,
        recipe: Recipe,
        start: Frozen,
    ) -> None:
        machine = self._machine = work.on_one_device().machine
        self._teacher = teacher.to(machine.device).eval()
        self._student = student
        student.model.to(machine.device)
        self._validation = validation
        self._tokens, self._order, self._recipe = work.tokens, order, recipe
        self._optimizer = _optimizer(student, recipe, machine)
        warm_up = max(1, round(recipe.warm_up * order.steps))
        self._schedule = get_linear_schedule_with_warmup(self._optimizer, warm_up, order.steps)
        self._batch_tokens = work.batch_tokens
        self._loss = torch.zeros((), device=machine.device)  # since the last check; read only there
        self._counters = Counters(curve=(), best_step=0, losses=0, seconds=0.0, steps=0)
        self._best = start

    def run(self, reporter: Reporter, checkpoint: Checkpoint | None = None) -> Trained:
        """Train to the end, or until the validation slice has got no better for a while.

        Args:
            reporter: shows the progress, in tokens, and the figures of each check.
            checkpoint: where to go on from, if it is there, and to write to; removed at the end.

        Raises:
            MpqError: E-MEMORY, E-CHECKPOINT, E-DIVERGED.
        """
        if checkpoint is not None and checkpoint.check():
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
        return Trained(frozen=self._best, report=self._report(seconds))

    def _train(self, reporter: Reporter, checkpoint: Checkpoint | None) -> float:
        """Make the steps that are left; return the seconds of the whole training."""
        started = time.monotonic() - self._counters.seconds
        if not self._counters.curve:
            self._check(self._best, reporter)
        checks = self._order.check_after()
        lengths = self._tokens.lengths
        left = sum(int(lengths[batch].sum()) for batch in self._batches())
        with self._machine.working(concurrent=False):
            for batch in reporter.track(self._batches(), TITLE, left, lambda b: int(lengths[b].sum())):
                self._step(batch, reporter)
                self._counters = self._counters.stepped(time.monotonic() - started)
                if self._counters.steps in checks:
                    self._check(self._student.freeze(), reporter)
                if checkpoint is not None and checkpoint.due:
                    self._save(checkpoint, reporter)
        return time.monotonic() - started

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
        later = sum(point.step > self._counters.best_step for point in self._counters.curve)
        return later >= self._recipe.patience

    def _step(self, batch: Indices, reporter: Reporter) -> None:
        """Make one optimizer step; with smaller parts when memory runs out."""
        while True:
            try:
                loss = self._gradients(batch)
                break
            except (MemoryError, RuntimeError) as error:
                if not memory_ran_out(error):
                    raise
                largest = len(batch) == 1 or self._batch_tokens <= int(self._tokens.lengths[batch].min())
                if largest:
                    raise no_memory() from error
            if self._machine.device.type == "cuda":
                torch.cuda.empty_cache()
            self._batch_tokens //= 2
            reporter.note(f"Out of memory: going on with {self._batch_tokens:,} tokens per forward pass.")
        parameters = [value for group in self._optimizer.param_groups for value in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self._recipe.gradient_norm)
        self._optimizer.step()
        self._schedule.step()
        self._loss += loss

    def _gradients(self, batch: Indices) -> torch.Tensor:
        """Leave the gradients of the batch's mean loss in the parameters; return the loss."""
        self._optimizer.zero_grad(set_to_none=True)
        total = torch.zeros_like(self._loss)
        for part in self._tokens.plan(self._batch_tokens, batch):
            loss = distillation_loss(
                self._teacher,
                self._student.model,
                self._tokens.batch(part),
                self._machine,
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
        point = self._validation.measure(frozen, counters.steps, loss)
        if not counters.curve or point.kl < min(earlier.kl for earlier in counters.curve):
            self._best = frozen
            counters = dataclasses.replace(counters, best_step=point.step)
        self._counters = dataclasses.replace(counters, curve=(*counters.curve, point), losses=0)
        self._loss.zero_()
        reporter.note(_sentence(point, self._order))

    def _save(self, checkpoint: Checkpoint, reporter: Reporter) -> None:
        state = snapshot(self._student, self._optimizer, self._loss, self._best, self._counters)
        try:
            checkpoint.write(state)
        except MpqError as error:  # hours of training are not given up for a full disk
            reporter.note(f"No checkpoint: {error.title}")

    def _resume(self, checkpoint: Checkpoint, reporter: Reporter) -> None:
        try:
            self._counters, self._best = restore(
                checkpoint.read(), self._student, self._optimizer, self._loss
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise checkpoint.unreadable(error) from error
        steps = self._counters.steps
        self._schedule.last_epoch = steps
        for group, rate, factor in zip(
            self._optimizer.param_groups, self._schedule.base_lrs, self._schedule.lr_lambdas, strict=True
        ):
            group["lr"] = rate * factor(steps)
        reporter.note(f"Going on from step {steps:,} of {self._order.steps:,} ({checkpoint.path}).")

    def _report(self, seconds: float) -> TrainingReport:
        return TrainingReport(
            training_reviews=len(self._order.training),
            validation_reviews=len(self._order.validation),
            batch_size=self._recipe.batch_size,
            learning_rate=self._recipe.learning_rate,
            planned_steps=self._order.steps,
            steps=self._counters.steps,
            best_step=self._counters.best_step,
            curve=self._counters.curve,
            seconds=seconds,
        )


def _optimizer(student: Student, recipe: Recipe, machine: Machine) -> torch.optim.AdamW:
    """Latent weights decay; steps, biases and LayerNorms do not."""
    trained = student.trained
    groups = [
        {
            "params": [value for name, value in trained.items() if name.endswith(LATENT) is decays],
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for decays in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=machine.device.type == "cuda")


def _sentence(point: CurvePoint, order: Order) -> str:
    moment = f"step {point.step:,} of {order.steps:,}" if point.step else "before training"
    return (
        f"Validation slice, {moment}: KL to FP32 {point.kl:.5f}, same prediction {point.agreement:.1%}, "
        f"accuracy {point.accuracy:.1%}"
    )
