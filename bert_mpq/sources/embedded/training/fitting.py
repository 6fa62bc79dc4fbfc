"""What both stages of the training share: the windows of an epoch, and the optimizer loop."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bert_mpq.compute.batches import Batch, TokenizedReviews, shuffled_batches
from bert_mpq.compute.checkpoints import Checkpoint, State
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.optimization import Optimization
from bert_mpq.compute.reporting import Reporter
from bert_mpq.sources.embedded.training.recipe import StageRecipe

WIDTH_STEP = 32  # tokens


def fit(
    module: nn.Module,
    tokens: TokenizedReviews,
    stage: StageRecipe,
    machine: Machine,
    seed: int,
    checkpoint: Path,
    reporter: Reporter,
    title: str,
) -> float:
    """Train the parameters of ``module`` that require gradients; return the seconds that it took.

    Every epoch draws from its own seed, so an interrupted run goes on as if it had not been, its seconds too.

    Args:
        module: returns the mean loss of a batch on the device, to be minimized.
        checkpoint: file with the state after the last whole epoch, to go on from if it is there.
    """
    _start_training(module, stage.dropout)
    steps = math.ceil(len(tokens) / stage.batch)
    optimization = _optimization(module, stage, steps)
    identity = {"stage": str(stage), "reviews": tokens.digest, "seed": str(seed)}
    file = Checkpoint(checkpoint, lambda: identity, 0.0, reporter)

    def load(state: State) -> tuple[int, float]:
        epochs = int(state.facts["epochs"])
        optimization.restore(state.tensors, epochs * steps)
        return epochs, float(state.facts["seconds"])

    done, seconds = file.restore(load) or (0, 0.0)
    for epoch in range(done, stage.epochs):
        started = reporter.clock()
        name = f"{title}, epoch {epoch + 1} of {stage.epochs}"
        batches = _batches(tokens, stage, np.random.default_rng([seed, epoch]))
        for batch in reporter.track(batches, name, len(tokens), lambda batch: len(batch.indices)):
            _step(module, batch, optimization, machine)
        seconds += reporter.clock() - started
        file.write(State(tensors=optimization.state(), facts={"epochs": epoch + 1, "seconds": seconds}))
    module.eval()
    return seconds


def _batches(tokens: TokenizedReviews, stage: StageRecipe, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield the windows of an epoch; dropout and masks, too, are drawn from its seed."""
    torch.manual_seed(int(rng.integers(2**31)))
    windows = cut_windows(tokens, stage.window, stage.head_share, rng)
    yield from map(windows.batch, shuffled_batches(windows.lengths, stage.batch, rng))


def _start_training(module: nn.Module, dropout: float) -> None:
    module.train()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = dropout


def _step(module: nn.Module, batch: Batch, optimization: Optimization, machine: Machine) -> None:
    with machine.working(concurrent=False), machine.arithmetic(gradients=True):
        loss = module(_moved(batch, machine))
    loss.backward()
    optimization.step()


def _optimization(module: nn.Module, stage: StageRecipe, steps: int) -> Optimization:
    """AdamW with a rising, then a falling learning rate; ``steps`` is per epoch."""
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(
        trained.values(), lr=stage.learning_rate, weight_decay=stage.weight_decay, fused=True
    )
    total = stage.epochs * steps
    warmup = max(1, round(stage.warmup * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (total - step) / max(1, total - warmup))
    )
    return Optimization(parameters=trained, optimizer=optimizer, schedule=schedule, gradient_norm=stage.clip)


def _moved(batch: Batch, machine: Machine) -> Batch:
    """Return the batch on the device, its width rounded up: few shapes, so few kernels to plan."""
    padding = -batch.input_ids.shape[1] % WIDTH_STEP
    return replace(
        batch,
        input_ids=machine.move(nn.functional.pad(batch.input_ids, (0, padding))),
        attention_mask=machine.move(nn.functional.pad(batch.attention_mask, (0, padding))),
    )


def cut_windows(
    tokens: TokenizedReviews, length: int, head_share: float, rng: np.random.Generator
) -> TokenizedReviews:
    """Return one window of every review, from its head or from anywhere in it.

    A review longer than ``length`` gives its first tokens with probability ``head_share``, as truncation
    does, else a run of tokens that begins anywhere: augmentation for long reviews.

    Args:
        tokens: whole reviews, each with its first and last special token.
        length: tokens of a window at most, the two special tokens included.
    """
    inner = np.minimum(tokens.lengths, length) - 2
    slack = tokens.lengths - 2 - inner
    starts = (rng.random(len(tokens)) * (slack + 1)).astype(np.int64)
    starts[rng.random(len(tokens)) < head_share] = 0
    offsets = np.concatenate([[0], np.cumsum(inner + 2)])
    # Token j of a window is token start + j of its review; the ends are then set to the special tokens.
    ids = tokens.ids[
        np.repeat(tokens.offsets[:-1] + starts - offsets[:-1], inner + 2) + np.arange(offsets[-1])
    ]
    ids[offsets[:-1]] = tokens.ids[tokens.offsets[:-1]]
    ids[offsets[1:] - 1] = tokens.ids[tokens.offsets[1:] - 1]
    return replace(tokens, ids=ids, offsets=offsets)
