"""Whether more reviews would still change the bit allocation."""

import math
from dataclasses import dataclass

import numpy as np

from bert_mpq.allocation.clustering import allocate
from bert_mpq.compute.reporting import Reporter
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.sensitivity.estimates import Estimate, estimate, kl_estimate
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import required_reviews

DRAWS = 300
GROWTH = 1.5  # of the sample from one look to the next
FIRST = 200  # reviews before the first look


@dataclass(frozen=True, kw_only=True)
class Stability:
    """When to stop: the allocation that follows from the reviews so far is that of the whole sample.

    Args:
        config: the run; its first metric decides the allocation, at the first of its widths.
    """

    config: RunConfig

    def looks(self, reviews: int, hidden: int) -> list[int]:
        """Return after how many of ``reviews`` to look, the last one being all of them.

        The first look must leave a replicate of the jackknife enough reviews for the metric.
        """
        look = float(max(FIRST, math.ceil(required_reviews(self.config.metrics[:1], hidden) / 0.9) + 1))
        looks = []
        while look < reviews:
            looks.append(int(look))
            look *= GROWTH
        return [*looks, reviews]

    def confidence(self, sums: BlockSums, reporter: Reporter) -> float:
        """Return the confidence that all reviews of the sample would give the allocation that ``sums`` give.

        Raises:
            MpqError: E-MODEL when the FP32 model gave NaN or infinity.
        """
        sums, metrics = sums.every(0, len(self.config.widths)), self.config.metrics[:1]
        entry = kl_estimate(sums) if metrics == ("kl",) else estimate(sums, metrics, reporter)[0]
        return self.allocation_confidence(entry, float(sums.done.mean()))

    def allocation_confidence(self, entry: Estimate, share: float) -> float:
        """Return the share of likely final scores that give the allocation of the scores so far.

        The scores of all N reviews are drawn given those of the n so far: logs with the jackknife's
        covariance times 1 - n/N (the reviews so far are among the N), Student's t of B - 1 degrees of
        freedom, and their mean moved by what the bias, which falls as 1/n, will have changed.

        Args:
            share: n/N.
        """
        jackknife, left = entry.jackknife, 1.0 - share
        logs = jackknife.whole - left * jackknife.bias
        if jackknife.blocks < 3 or not np.isfinite([*logs, *jackknife.covariance.ravel()]).all():
            return 0.0
        now = self._bits(np.exp(jackknife.whole))
        random = np.random.default_rng(0)
        freedom = jackknife.blocks - 1
        normal = random.multivariate_normal(0 * logs, left * jackknife.covariance, DRAWS, "ignore")
        heavy = np.sqrt(freedom / random.chisquare(freedom, DRAWS))[:, None]
        same = [self._bits(scores) == now for scores in np.exp(logs + normal * heavy)]
        return float(np.mean(same)) if now else 0.0

    def _bits(self, scores: np.ndarray) -> tuple[int, ...]:
        """Return the bits that follow from scores; none where these cannot be cut into groups."""
        config = self.config
        try:
            return allocate(scores.tolist(), config.bits, config.clustering, config.protect_last).bits
        except MpqError:
            return ()
