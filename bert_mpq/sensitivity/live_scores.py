"""Cheap scores of the reviews so far, for whoever watches a run; they decide nothing."""

import math
from collections.abc import Sequence

from bert_mpq.compute.reporting import Reporter
from bert_mpq.sensitivity.accumulation import Accumulation
from bert_mpq.settings.metrics import METRICS
from bert_mpq.similarity import cka

SHARE = 0.01  # of the run's time may go into looking at it
EVERY = 1.0  # seconds at least


class LiveScores:
    """Shows the reporter a score per unit every second, less often where that is dear.

    Scope propagated has the KL of the logits for each probe, which is one sum; the others show 1 - CKA of the
    block of reviews under way.

    Args:
        units: names of what is quantized at a time.
        bits: the probed widths; the first one is shown.
    """

    def __init__(self, reporter: Reporter, units: Sequence[str], bits: Sequence[int]) -> None:
        self._reporter = reporter
        self._units = units
        self._width = f", {bits[0]} bits" if len(bits) > 1 else ""
        self._step = len(bits)
        self._next = -math.inf

    def after_batch(self, sums: Accumulation) -> None:
        """Look at the sums, if it is time."""
        started = self._reporter.clock()
        if started < self._next:
            return
        title, values = f"{METRICS['kl'].loss_title} so far", sums.mean_kl()
        if len(values) != sums.probes:  # not one per probe
            title = f"{METRICS['cka'].loss_title} so far"
            values = tuple(cka(moments).distance for moments in sums.block_under_way[:: self._step])
        else:
            values = values[:: self._step]
        if values and all(map(math.isfinite, values)):
            self._reporter.scores(title + self._width, dict(zip(self._units, values, strict=True)))
        ended = self._reporter.clock()
        self._next = ended + max(EVERY, (ended - started) / SHARE)
