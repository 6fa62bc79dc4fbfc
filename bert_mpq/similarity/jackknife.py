"""Delete-block jackknife of log scores: intervals, and confidence in the order of two scores.

Scores are positive and vary over orders of magnitude, so their logarithms are what is nearly normal. With B
blocks the replicate theta_b leaves block b out, and (Efron and Stein 1981)

    SE^2 = (B - 1) / B * sum_b (theta_b - mean theta)^2

with Student's t of B - 1 degrees of freedom. All layers see the same rows in a block, so the difference of
two layers' logs is jackknifed as a whole: what they have in common cancels.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special

Array = npt.NDArray[np.float64]
LEVEL = 0.95
FEWEST_BLOCKS = 3  # blocks for an interval


@dataclass(frozen=True, kw_only=True)
class Jackknife:
    """Logs of the scores of K layers, from all rows and without each block in turn.

    Args:
        whole: (K,) logs from all rows; NaN where there is no score.
        replicates: (B, K) logs without block b; NaN where there is no score.
    """

    whole: Array
    replicates: Array

    @classmethod
    def from_scores(cls, whole: Array, replicates: Array) -> "Jackknife":
        """Take the logs of scores (K,) and (B, K); a score of 0 or below has none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.where(scores > 0, np.log(scores), np.nan) for scores in (whole, replicates)]
        return cls(whole=logs[0], replicates=logs[1])

    @property
    def blocks(self) -> int:
        """Replicates, B."""
        return len(self.replicates)

    @property
    def quantile(self) -> float:
        """Student's t for a two-sided interval of ``LEVEL``."""
        return float(scipy.special.stdtrit(self.blocks - 1, 0.5 + LEVEL / 2))

    @property
    def covariance(self) -> Array:
        """(K, K) covariance of the logs."""
        spread = self.replicates - self.replicates.mean(0)
        return np.asarray((self.blocks - 1) / self.blocks * spread.T @ spread)

    @property
    def bias(self) -> Array:
        """(K,) bias of the logs, which falls as 1 / rows (Quenouille 1956)."""
        return np.asarray((self.blocks - 1) * (self.replicates.mean(0) - self.whole))

    def interval(self, layer: int) -> tuple[float, float] | None:
        """Return the interval of ``LEVEL`` of a score; None where a replicate has no score."""
        if self.blocks < FEWEST_BLOCKS:
            return None
        error = self._error(self.replicates[:, layer])
        low, high = (math.exp(self.whole[layer] + sign * self.quantile * error) for sign in (-1, 1))
        return (low, high) if math.isfinite(error) and math.isfinite(high) else None

    def confidence(self, first: int, second: int) -> float | None:
        """Return the confidence that the score of ``first`` is above that of ``second``; None: unknown."""
        if self.blocks < FEWEST_BLOCKS:
            return None
        difference = float(self.whole[first] - self.whole[second])
        error = self._error(self.replicates[:, first] - self.replicates[:, second])
        if not math.isfinite(difference + error):
            return None
        if error == 0.0:
            return 0.5 if difference == 0.0 else float(difference > 0)
        return float(scipy.special.stdtr(self.blocks - 1, difference / error))

    def _error(self, replicates: Array) -> float:
        spread = replicates - replicates.mean()
        return math.sqrt((self.blocks - 1) / self.blocks * float(spread @ spread))
