"""The settings of a training."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train; the defaults were chosen on calibration reviews of the embedded classifier.

    Args:
        epochs: passes over the training reviews at most.
        learning_rate: peak of the schedule, for latent weights and steps alike.
        batch_size: reviews per optimizer step.
        warm_up: share of the steps with a rising learning rate; it falls linearly to 0 after that.
        weight_decay: of the latent weights; steps, biases and LayerNorms have none.
        hidden_weight: weight of the hidden-state loss beside the KL of the logits.
        gradient_norm: gradients are cut to this global norm.
        checks: measurements on the validation slice per epoch.
        patience: stop after so many of them in a row without a better one.
        validation_share: share of the reviews that is kept for these measurements.
        validation_most: ... at most.
        seed: decides the validation slice and the order of the batches.
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
