"""What a pass has added up, for whoever computes scores of it."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from bert_mpq.similarity.moments import Moments


@dataclass(frozen=True, kw_only=True)
class BlockSums:
    """Moments and KL of every probe for each block of reviews by itself; nothing can be added to them.

    Args:
        blocks: (blocks, probes) moments; review i is in block i % blocks.
        kl: (blocks, K) sums of the KL of the logits over reviews, in nats; None where none was added.
        done: (reviews,) whether a review is in the sums.
    """

    blocks: tuple[tuple[Moments, ...], ...]
    kl: npt.NDArray[np.float64] | None
    done: npt.NDArray[np.bool_]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(blocks,) reviews done in each block."""
        blocks = len(self.blocks)
        return np.bincount(np.flatnonzero(self.done) % blocks, minlength=blocks)

    @property
    def device(self) -> torch.device:
        """Where the sums are."""
        kept = (moments.sums for block in self.blocks for moments in block)
        return next((sums.matrices.device for sums in kept if sums is not None), torch.device("cpu"))

    def on_host(self) -> "BlockSums":
        """Return a copy of those that are elsewhere."""

        def moved(moments: Moments) -> Moments:
            return moments if moments.sums is None else Moments.of(moments.sums.to("cpu"))[0]

        return replace(self, blocks=tuple(tuple(map(moved, block)) for block in self.blocks))

    def total(self, probe: int) -> Moments:
        """Return the moments of ``probe`` over all reviews done."""
        whole = Moments(self.blocks[0][probe].dim)
        for block in self.blocks:
            whole.merge(block[probe])
        return whole

    def every(self, start: int, step: int) -> "BlockSums":
        """Return those of every ``step``-th probe from ``start`` on; they are not copied."""
        return replace(
            self,
            blocks=tuple(block[start::step] for block in self.blocks),
            kl=None if self.kl is None else self.kl[:, start::step],
        )
