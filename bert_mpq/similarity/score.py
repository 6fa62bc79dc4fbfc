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
    """

    distance: float
    status: Status
    samples: int
    ranks: tuple[int, int] = (0, 0)

    @property
    def similarity(self) -> float:
        """1 - distance."""
        return 1.0 - self.distance

    @property
    def usable(self) -> bool:
        """Whether an allocation may rest on the value."""
        return self.status not in ("saturated", "reference_constant") and math.isfinite(self.distance)

    @property
    def explanation(self) -> str:
        """The status in words; empty when it is ok."""
        directions = f"{self.ranks[0]:,} + {self.ranks[1]:,} directions"
        return {
            "ok": "",
            "few_samples": f"{self.samples:,} reviews are few for {directions}: reads too similar",
            "saturated": f"{self.samples:,} reviews are too few for {directions}: use CKA or more reviews",
            "collapsed": "the quantized layer gives the same output for every review",
            "nonfinite": "the quantized layer gives NaN or infinite values",
            "reference_constant": "the FP32 layer gives the same output for every review",
        }[self.status]
