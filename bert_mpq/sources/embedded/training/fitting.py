"""The optimizer loop that both stages of the training share."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch, TokenizedReviews
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.reporting import Reporter
from bert_mpq.sources.embedded.training.recipe import StageRecipe
from bert_mpq.sources.embedded.training.windows import cut_windows, shuffled_batches

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
    """Train the parameters of ``module`` that require gradients; go on from ``checkpoint`` if it is there.

    Every epoch draws from its own seed, so an interrupted run goes on as if it had not been.

    Args:
        module: returns the mean loss of a batch on the device, to be minimized.
        tokens: whole reviews.
        stage: the numbers.
        machine: where it runs, and in which arithmetic.
        seed: of the stage.
        checkpoint: file with the state after the last whole epoch.
        reporter: shows the progress, in windows.
        title: name of the stage.

    Returns:
        Seconds, those of interrupted runs included.
    """
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = stage.dropout
    run = _Run(module, stage, math.ceil(len(tokens) / stage.batch), checkpoint)
    module.train()
    while run.epochs < stage.epochs:
        started = time.perf_counter()
        rng = np.random.default_rng([seed, run.epochs])
        torch.manual_seed(int(rng.integers(2**31)))
        windows = cut_windows(tokens, stage.window, stage.head_share, rng)
        plan = shuffled_batches(windows.lengths, stage.batch, rng)
        epoch = f"{title}, epoch {run.epochs + 1} of {stage.epochs}"
        for indices in reporter.track(plan, epoch, len(tokens), len):
            with machine.working(concurrent=False), machine.arithmetic(gradients=True):
                loss = module(_moved(windows.batch(indices), machine))
            run.step(loss)
        run.finish_epoch(time.perf_counter() - started)
    module.eval()
    return run.seconds


class _Run:
    """Weights, optimizer and schedule of a stage, and the file they are kept in."""

    def __init__(self, module: nn.Module, stage: StageRecipe, steps: int, path: Path) -> None:
        self.epochs, self.seconds = 0, 0.0
        self._path, self._clip = path, stage.clip
        self._weights = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=stage.learning_rate, weight_decay=stage.weight_decay, fused=True
        )
        total = stage.epochs * steps
        warmup = max(1, round(stage.warmup * total))
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min((step + 1) / warmup, (total - step) / max(1, total - warmup))
        )
        if path.exists():
            self._load(torch.load(path, weights_only=True))

    def step(self, loss: Tensor) -> None:
        """Follow the gradient of ``loss`` once."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights.values(), self._clip)
        self._optimizer.step()
        self._schedule.step()

    def finish_epoch(self, seconds: float) -> None:
        """Count an epoch and keep the state, whole or not at all."""
        self.epochs += 1
        self.seconds += seconds
        state = {
            "epochs": self.epochs,
            "seconds": self.seconds,
            "weights": {name: parameter.detach() for name, parameter in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        part = self._path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._path)

    def _load(self, state: dict[str, Any]) -> None:
        self.epochs, self.seconds = state["epochs"], state["seconds"]
        with torch.no_grad():
            for name, parameter in self._weights.items():
                parameter.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])


def _moved(batch: Batch, machine: Machine) -> Batch:
    """Return the batch on the device, its width rounded up: few shapes, so few kernels to plan."""
    padding = -batch.input_ids.shape[1] % WIDTH_STEP
    return Batch(
        indices=batch.indices,
        input_ids=machine.move(nn.functional.pad(batch.input_ids, (0, padding))),
        attention_mask=machine.move(nn.functional.pad(batch.attention_mask, (0, padding))),
    )
