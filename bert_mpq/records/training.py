"""What quantization-aware training hands to the files and the screen."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The frozen model on the validation slice, at one moment of a training.

    Args:
        step: optimizer steps so far; 0 is the model after post-training quantization.
        loss: mean training loss since the last point; None at step 0.
        kl: KL(FP32 || quantized) of the logits in nats, mean over the slice.
    """

    step: int
    loss: float | None
    kl: float
    agreement: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """One training.

    Args:
        training_reviews: reviews per epoch.
        validation_reviews: reviews of the validation slice, never trained on.
        planned_steps: optimizer steps of all epochs.
        best_step: where ``kl`` was lowest: the model that was kept; 0 = training did not help.
        seconds: of training and measuring, resumed parts included.
    """

    training_reviews: int
    validation_reviews: int
    batch_size: int
    learning_rate: float
    planned_steps: int
    steps: int
    best_step: int
    curve: tuple[CurvePoint, ...]
    seconds: float

    @property
    def stopped_early(self) -> bool:
        """Whether it ended because the validation slice got no better."""
        return self.steps < self.planned_steps
