"""What measuring whole plans told beside the loss that was predicted for them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MeasuredPlan:
    """A plan as a whole.

    Args:
        bits: of every Linear, in the order of the model.
        predicted: sum of the losses of its units.
        kl: KL(FP32, quantized) of the logits in nats, mean over reviews.
    """

    bits: tuple[int, ...]
    predicted: float
    kl: float


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Plans of one size, measured on the same calibration reviews.

    Args:
        reviews: calibration reviews of each.
        plans: in the order in which they were measured.
        optimum: index of the plan with the least predicted loss.
        gain_error: standard error of the difference between its KL and the least one, paired by review.
    """

    reviews: int
    plans: tuple[MeasuredPlan, ...]
    optimum: int
    gain_error: float

    def __post_init__(self) -> None:
        if not 0 <= self.optimum < len(self.plans):
            raise ValueError("refinement.optimum is none of its plans")

    @property
    def predicted(self) -> MeasuredPlan:
        """The optimum of the prediction."""
        return self.plans[self.optimum]

    @property
    def best(self) -> MeasuredPlan:
        """The plan with the least KL."""
        return min(self.plans, key=lambda plan: plan.kl)

    @property
    def gain(self) -> float:
        """How much less the best plan's KL is than that of the optimum of the prediction, in nats."""
        return self.predicted.kl - self.best.kl

    @property
    def text(self) -> str:
        """What was predicted, what was measured, and how far apart the two optima are."""
        optimum, best = self.predicted, self.best
        if best is optimum:
            end = "no other plan had less."
        else:
            end = (
                f"the best of {len(self.plans)} plans {best.kl:.3g}, {self.gain / optimum.kl:.0%} less"
                f" ({self.gain:.2g} ± {self.gain_error:.2g})."
            )
        return (
            f"Measured on {self.reviews:,} calibration reviews: the optimum of the prediction has KL"
            f" {optimum.kl:.3g} (predicted {optimum.predicted:.3g}); {end}"
        )
