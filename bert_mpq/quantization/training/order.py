"""Which reviews are trained on, in which order: decided by seed and epoch alone, so that a run can resume."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bert_mpq.quantization.training.recipe import Recipe

Indices = npt.NDArray[np.int64]
BUCKET = 32  # batches whose reviews are sorted by length together


@dataclass(frozen=True, kw_only=True)
class Order:
    """The steps of a training.

    Args:
        training: reviews to train on.
        validation: reviews of the validation slice.
        lengths: (n,) tokens of every review of the sample.
        recipe: epochs, batch size and seed.
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
        """Return the batches of an epoch: random, but reviews of a batch are of similar length.

        The reviews are shuffled, sorted by length within buckets of 32 batches, cut into batches, and the
        batches are shuffled.
        """
        random = np.random.default_rng((self.recipe.seed, number))
        shuffled = random.permutation(self.training)
        size = self.recipe.batch_size
        batches: list[Indices] = []
        for start in range(0, len(shuffled), BUCKET * size):
            bucket = shuffled[start : start + BUCKET * size]
            bucket = bucket[np.argsort(-self.lengths[bucket], kind="stable")]
            batches += [bucket[first : first + size] for first in range(0, len(bucket), size)]
        return [batches[index] for index in random.permutation(len(batches))]

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
        recipe: shares and seed.
    """
    count = len(lengths)
    kept = min(max(1, round(count * recipe.validation_share)), recipe.validation_most)
    shuffled = np.random.default_rng((recipe.seed, count)).permutation(count)
    return Order(
        training=np.sort(shuffled[kept:]), validation=np.sort(shuffled[:kept]), lengths=lengths, recipe=recipe
    )
