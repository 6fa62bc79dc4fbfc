"""The numbers of a training, and what follows from them: which reviews are trained on, in which order.

The order is decided by seed and epoch alone, so that a training can resume.
"""

from dataclasses import dataclass

import numpy as np

from bert_mpq.compute.batches import Indices, shuffled_batches


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; the defaults were chosen on calibration reviews of the embedded classifier.

    Args:
        epochs: passes over the training reviews at most.
        learning_rate: peak of the schedule, for latent weights and steps alike.
        warm_up: share of the steps with a rising learning rate; it falls linearly to 0 after that.
        weight_decay: of the latent weights; steps, biases and LayerNorms have none.
        hidden_weight: weight of the hidden-state loss beside the KL of the logits.
        gradient_norm: gradients are cut to this global norm.
        checks: measurements on the validation slice per epoch.
        patience: stop after so many of them in a row without a better one.
        validation_share: share of the reviews that is kept for these measurements.
        validation_most: ... at most.
    """

    epochs: int = 1
    learning_rate: float = 2e-4
    batch_size: int = 16
    warm_up: float = 0.1
    weight_decay: float = 0.01
    hidden_weight: float = 1.0
    gradient_norm: float = 1.0
    checks: int = 4
    patience: int = 3
    validation_share: float = 0.1
    validation_most: int = 1_000
    seed: int = 42


@dataclass(frozen=True, kw_only=True)
class Order:
    """The steps of a training.

    Args:
        lengths: (n,) tokens of every review of the sample.
    """

    training: Indices
    validation: Indices
    lengths: Indices
    recipe: Recipe

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch."""
        return -(-len(self.training) // self.recipe.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.recipe.epochs * self.steps_per_epoch

    def epoch(self, number: int) -> list[Indices]:
        """Return the batches of an epoch: random, but reviews of a batch are of similar length."""
        rng = np.random.default_rng((self.recipe.seed, number))
        batches = shuffled_batches(self.lengths[self.training], self.recipe.batch_size, rng)
        return [self.training[batch] for batch in batches]

    def check_after(self) -> frozenset[int]:
        """Return the steps, counted from 1, after which the validation slice is measured."""
        per_epoch, checks = self.steps_per_epoch, self.recipe.checks
        return frozenset(
            epoch * per_epoch + max(1, per_epoch * part // checks)
            for epoch in range(self.recipe.epochs)
            for part in range(1, checks + 1)
        )


def make_order(lengths: Indices, recipe: Recipe) -> Order:
    """Cut the sample in training and validation reviews.

    Args:
        lengths: (n,) tokens per review; n is at least 2.
    """
    count = len(lengths)
    kept = min(max(1, round(count * recipe.validation_share)), recipe.validation_most)
    shuffled = np.random.default_rng((recipe.seed, count)).permutation(count)
    return Order(
        training=np.sort(shuffled[kept:]), validation=np.sort(shuffled[:kept]), lengths=lengths, recipe=recipe
    )
