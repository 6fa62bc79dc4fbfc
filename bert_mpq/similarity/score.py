"""What a similarity metric answers: a value, and whether to believe it."""

import math
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "few_samples", "saturated", "collapsed", "nonfinite", "reference_constant"]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Similarity of a perturbed representation to its FP32 reference.

    Args:
        distance: 1 - similarity, accurate near 0 (never computed as ``1 - s``).
        status: ``ok``; ``few_samples`` (under 10 rows per direction: biased towards similar);
            ``saturated`` (fewer rows than directions: means nothing); ``collapsed`` (the perturbed side is
            constant); ``nonfinite`` (it holds NaN or infinity); ``reference_constant`` (no value).
        samples: rows seen.
        ranks: directions kept on the reference and on the perturbed side; (0, 0) where there are none.
        noise_floor: estimate of the error of ``distance`` by rounding in float64. Two distances that differ
            by less are the same.
    """

    distance: float
    status: Status
    samples: int
    ranks: tuple[int, int] = (0, 0)
    noise_floor: float = 0.0

    @property
    def similarity(self) -> float:
        """1 - distance."""
        return 1.0 - self.distance

    @property
    def usable(self) -> bool:
        """Whether an allocation may rest on the value."""
        return self.status not in ("saturated", "reference_constant") and math.isfinite(self.distance)

    def explanation(self, rows: str = "rows") -> str:
        """Return the status in words, "" when it is ok; ``rows`` is what the rows are (reviews, tokens)."""
        x, y = self.ranks
        directions = f"2 x {x:,} directions" if x == y else f"{x:,} + {y:,} directions"
        if not (x or y):
            directions = "this metric"
        return {
            "ok": "",
            "few_samples": f"{self.samples:,} {rows} are few for {directions}: reads too similar",
            "saturated": f"{self.samples:,} {rows} are too few for {directions}: use CKA or more {rows}",
            "collapsed": f"the quantized model gives the same output for all {rows}",
            "nonfinite": "the quantized model gives NaN or infinite values",
            "reference_constant": f"the FP32 model gives the same output for all {rows}",
        }[self.status]
