"""The state of one pass over the reviews: sums per block of reviews, and which reviews are in them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Indices
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.sums import PairedRows, Sums, paired

# A jackknife needs blocks: more of them cost memory (BLOCKS x the moments), fewer widen the intervals.
BLOCKS = 10
CHUNK_VALUES = 1 << 25  # float64 values of all probes that are added at a time


class Accumulation:
    """Moments and KL of every probe, for each block of reviews by itself.

    Review i belongs to block i % blocks, whatever the batch size and the order in which reviews come, so
    that what is saved, restored or merged over processes is always the same blocks. The sums of the block
    under way live where the activations are; ``flush`` adds them to the blocks, which live on the host:
    blocks x probes x 8 (3 dim^2 + 6 dim + 8) bytes, 1.7 GB for BERT-base (12 probes, 768 features).

    Args:
        dim: features per row.
        probes: perturbed models that are compared with the FP32 one in the same pass.
        reviews: reviews in the sample.
        blocks: into how many blocks they are dealt out.
    """

    def __init__(self, dim: int, probes: int, reviews: int, blocks: int = BLOCKS) -> None:
        self.blocks: tuple[tuple[Moments, ...], ...] = tuple(
            tuple(Moments(dim) for _ in range(probes)) for _ in range(blocks)
        )
        self.kl: npt.NDArray[np.float64] | None = None  # (blocks, K) sums over reviews, in nats
        self.done = np.zeros(reviews, bool)  # (reviews,) whether a review is in the sums
        self._open: tuple[int, Sums] | None = None
        self._open_kl: Tensor | None = None

    def empty(self) -> "Accumulation":
        """Return one without any review for the same sample and probes."""
        first = self.blocks[0]
        return Accumulation(first[0].dim, len(first), len(self.done), len(self.blocks))

    def parts(self, chosen: Indices | None = None) -> list[Indices]:
        """Return the reviews that are not done, by block; batches must be made within a part.

        Args:
            chosen: consider these reviews only; default all.
        """
        reviews = np.arange(len(self.done)) if chosen is None else chosen
        left = reviews[~self.done[reviews]]
        count = len(self.blocks)
        return [part for block in range(count) if len(part := left[left % count == block])]

    def add(self, reviews: Indices, reference: Tensor, perturbed: Tensor, kl: Tensor) -> None:
        """Add a batch of one block. Nothing here waits for a GPU.

        Args:
            reviews: (B,) positions in the sample, all of the same block.
            reference: (rows, R, dim) FP32; each of the R is compared with probes / R of the perturbed.
            perturbed: (rows, probes, dim).
            kl: (B, K) KL of the logits, in nats.

        Raises:
            ValueError: the reviews are of several blocks.
        """
        block = int(reviews[0]) % len(self.blocks)
        if (reviews % len(self.blocks) != block).any():
            raise ValueError("a batch holds reviews of several blocks")
        size = max(1, CHUNK_VALUES // (perturbed.shape[1] * perturbed.shape[2]))
        for start in range(0, len(perturbed), size):
            part = slice(start, start + size)
            self._add(block, paired(reference[part], perturbed[part]))
        total = kl.sum(0)
        self._open_kl = total if self._open_kl is None else self._open_kl.to(total.device) + total
        self.done[reviews] = True

    def _add(self, block: int, rows: PairedRows) -> None:
        place = rows.x.device
        if self._open is None or self._open[0] != block:
            self.flush()
            shifts = [moments.shifts for moments in self._started() if moments.shifts is not None]
            self._open = (block, Sums.zeros(torch.stack(shifts).to(place) if shifts else rows.means()))
        sums = self._open[1].to(place)  # restored sums come from the host
        sums.add(rows)
        self._open = (block, sums)

    def flush(self) -> None:
        """Add the sums of the block under way to the blocks; call before these are read."""
        if self._open is None or self._open_kl is None:
            return
        block, sums = self._open
        added = Moments.of(sums.to("cpu"))
        if self.blocks[block][0].shifts is None:
            self.blocks = (*self.blocks[:block], added, *self.blocks[block + 1 :])
        else:
            for kept, moments in zip(self.blocks[block], added, strict=True):
                kept.merge(moments)
        if self.kl is None:
            self.kl = np.zeros((len(self.blocks), len(self._open_kl)))
        self.kl[block] += self._open_kl.cpu().numpy()
        self._open = self._open_kl = None

    def all_reduce(self) -> None:
        """Add up the sums of all processes, on every one of them; they must share the shifts.

        Raises:
            ValueError: the shifts differ.
            MpqError: E-DISTRIBUTED.
        """
        self.flush()
        with distributed.collective():
            for _, moments in self._named():
                moments.all_reduce()
        columns = distributed.on_first(lambda: 0 if self.kl is None else self.kl.shape[1])
        kl = torch.zeros(len(self.blocks), columns, dtype=torch.float64)
        if self.kl is not None:
            kl += torch.from_numpy(self.kl)
        done = torch.from_numpy(self.done.astype(np.int64))
        for tensor in (kl, done):
            distributed.add(tensor)
        self.kl, self.done = kl.numpy(), done.numpy() > 0

    def so_far(self) -> BlockSums:
        """Return the sums so far; they are not copied, so that adding more changes them."""
        self.flush()
        return BlockSums(blocks=self.blocks, kl=self.kl, done=self.done)

    def mean_kl(self) -> tuple[float, ...]:
        """Return the mean KL in nats over the reviews done, one per probe of scope propagated."""
        count = int(self.done.sum())
        parts = [] if self.kl is None else [self.kl.sum(0)]
        parts += [] if self._open_kl is None else [self._open_kl.cpu().numpy()]
        return tuple((sum(parts) / count).tolist()) if parts and count else ()

    @property
    def block_under_way(self) -> tuple[Moments, ...]:
        """The moments of each probe over the block that is not in the blocks yet; empty between blocks."""
        return () if self._open is None else Moments.of(self._open[1])

    @property
    def shifts(self) -> tuple[Tensor, ...]:
        """(2, dim) shifts of each probe; empty before the first batch."""
        started = Moments.of(self._open[1]) if self._open is not None else self._started()
        return tuple(m.shifts for m in started if m.shifts is not None)

    def use_shifts(self, shifts: Sequence[Tensor]) -> None:
        """Take the shifts of another process, before the first batch: then the sums can be merged.

        Raises:
            ValueError: there are sums already.
        """
        if self.shifts:
            raise ValueError("the shifts are fixed by the first batch")
        self.blocks = tuple(
            tuple(Moments(m.dim, *shift) for m, shift in zip(block, shifts, strict=True))
            for block in self.blocks
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything there is to save: sums, shifts, and which reviews are done.

        The block under way stays apart, so that a restored pass adds in the same order as one that was never
        stopped: its sums are the same to the last bit. Blocks without a row are left out.
        """
        state = {"done": torch.from_numpy(self.done)}
        if self.kl is not None:
            state["kl"] = torch.from_numpy(self.kl)
        for name, moments in self._named():
            if moments.sums is not None and bool(moments.sums.scalars.any()):
                state |= {f"{name}.{key}": tensor for key, tensor in moments.state_dict().items()}
        if self._open is not None and self._open_kl is not None:
            state |= {"open": torch.tensor(self._open[0]), "open.kl": self._open_kl}
            for probe, moments in enumerate(Moments.of(self._open[1])):
                state |= {f"open.{probe}.{key}": t for key, t in moments.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned: go on with ``parts()``, the reviews that are left.

        Raises:
            ValueError: it is the state of another sample or of other probes.
        """
        if "done" not in state or state["done"].shape != self.done.shape:
            raise ValueError(f"not the state of a pass over {len(self.done):,} reviews")
        for name, moments in self._named():
            if f"{name}.scalars" in state:
                moments.load_state_dict(_within(state, name))
        self._open = self._open_kl = None
        if "open" in state:
            started = tuple(Moments(m.dim) for m in self.blocks[0])
            for probe, moments in enumerate(started):
                moments.load_state_dict(_within(state, f"open.{probe}"))
            self._open = (int(state["open"]), Sums.stacked([m.sums for m in started if m.sums is not None]))
            self._open_kl = state["open.kl"].clone()
        self.kl = state["kl"].numpy().copy() if "kl" in state else None
        self.done = state["done"].numpy().copy()

    def _named(self) -> list[tuple[str, Moments]]:
        return [(f"{b}.{p}", m) for b, block in enumerate(self.blocks) for p, m in enumerate(block)]

    def _started(self) -> tuple[Moments, ...]:
        """Return a block that has shifts, if there is one."""
        return next((block for block in self.blocks if block[0].shifts is not None), ())


def _within(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
