"""The state of one pass over the reviews: sums per block of reviews, and which reviews are in them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bert_mpq.compute import distributed
from bert_mpq.compute.batches import Indices
from bert_mpq.compute.devices import Machine
from bert_mpq.sensitivity.block_sums import BlockSums
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.sums import PairedRows, Sums, paired

# A jackknife needs blocks: more of them cost memory (BLOCKS x the moments), fewer widen the intervals.
BLOCKS = 10
HOST = torch.device("cpu")
CHUNK_VALUES = 1 << 25  # float64 values of all probes that are added at a time


class Accumulation:
    """Moments and KL of every probe, for each block of reviews by itself.

    Review i belongs to block i % blocks, whatever the batch size and the order in which reviews come, so
    that what is saved, restored or merged over processes is always the same blocks. The sums of the block
    under way live where the activations are; ``flush`` adds them to the blocks. These take
    blocks x probes x 8 (3 dim^2 + 6 dim + 8) bytes, 1.7 GB for BERT-base (12 probes, 768 features).

    Args:
        dim: features per row.
        probes: perturbed models that are compared with the FP32 one in the same pass.
        reviews: reviews in the sample.
        blocks: into how many blocks they are dealt out.
        place: where the blocks are kept.
    """

    def __init__(
        self, dim: int, probes: int, reviews: int, blocks: int = BLOCKS, place: torch.device = HOST
    ) -> None:
        self.dim, self.probes = dim, probes
        self.kl: npt.NDArray[np.float64] | None = None  # (blocks, K) sums over reviews, in nats
        self.done = np.zeros(reviews, bool)  # (reviews,) whether a review is in the sums
        self._place = place
        self._blocks: list[Sums | None] = [None] * blocks
        self._shifts: Tensor | None = None  # (probes, 2, dim), those of all blocks
        self._open: tuple[int, Sums] | None = None
        self._open_kl: Tensor | None = None

    @classmethod
    def on(cls, machine: Machine, dim: int, probes: int, reviews: int, blocks: int) -> "Accumulation":
        """Return an empty one that keeps its blocks on the machine's device, where they take little of it."""
        size = blocks * probes * Moments(dim).nbytes
        return cls(dim, probes, reviews, blocks, machine.place_for(size))

    def empty(self) -> "Accumulation":
        """Return one without any review for the same sample and probes."""
        return Accumulation(self.dim, self.probes, len(self.done), len(self._blocks), self._place)

    @property
    def blocks(self) -> tuple[tuple[Moments, ...], ...]:
        """(blocks, probes) moments, which share the sums; call ``flush`` before they are read."""
        nothing = tuple(Moments(self.dim) for _ in range(self.probes))
        return tuple(nothing if sums is None else Moments.of(sums) for sums in self._blocks)

    def parts(self, chosen: Indices | None = None) -> list[Indices]:
        """Return the reviews that are not done, by block; batches must be made within a part.

        Args:
            chosen: consider these reviews only; default all.
        """
        reviews = np.arange(len(self.done)) if chosen is None else chosen
        left = reviews[~self.done[reviews]]
        count = len(self._blocks)
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
        block = int(reviews[0]) % len(self._blocks)
        if (reviews % len(self._blocks) != block).any():
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
            if self._shifts is None:
                self._shifts = rows.means()
            self._open = (block, Sums.zeros(self._shifts.to(place)))
        sums = self._open[1].to(place)  # restored sums come from the host
        sums.add(rows)
        self._open = (block, sums)

    def flush(self) -> None:
        """Add the sums of the block under way to the blocks; call before these are read."""
        if self._open is None or self._open_kl is None:
            return
        (block, sums), kept = self._open, self._blocks[self._open[0]]
        if kept is None:
            self._blocks[block] = sums.to(self._place)
        else:
            kept.merge(sums)
        if self.kl is None:
            self.kl = np.zeros((len(self._blocks), len(self._open_kl)))
        self.kl[block] += self._open_kl.cpu().numpy()
        self._open = self._open_kl = None

    def all_reduce(self, device: torch.device = HOST) -> None:
        """Add up the sums of all processes, on every one of them; they must share the shifts.

        Args:
            device: where: between GPUs it takes a fraction of the time that it takes between their hosts.

        Raises:
            ValueError: the shifts differ.
            MpqError: E-DISTRIBUTED.
        """
        self.flush()
        known = [shifts for shifts in distributed.gather(self.shifts) if shifts is not None]
        if not all(shifts.equal(known[0]) for shifts in known):
            raise ValueError("cannot add sums with different shifts: give every process the same")
        for block, sums in enumerate(self._blocks if known else ()):
            total = (Sums.zeros(known[0]) if sums is None else sums).to(device)
            for tensor in total.added:
                distributed.add(tensor)
            self._blocks[block] = total.to(self._place)
        columns = distributed.on_first(lambda: 0 if self.kl is None else self.kl.shape[1])
        kl = torch.zeros(len(self._blocks), columns, dtype=torch.float64)
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
    def shifts(self) -> Tensor | None:
        """(probes, 2, dim) what every block subtracts, on the host; None before the first batch."""
        return None if self._shifts is None else self._shifts.cpu()

    def use_shifts(self, shifts: Tensor) -> None:
        """Take the shifts of another process, before the first batch: then the sums can be merged.

        Raises:
            ValueError: there are sums already.
        """
        if self._shifts is not None:
            raise ValueError("the shifts are fixed by the first batch")
        self._shifts = shifts

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything there is to save: sums, shifts, and which reviews are done.

        The block under way stays apart, so that a restored pass adds in the same order as one that was never
        stopped: its sums are the same to the last bit. Blocks without a row are left out.
        """
        state = {"done": torch.from_numpy(self.done)}
        if self.kl is not None:
            state["kl"] = torch.from_numpy(self.kl)
        parts = {str(block): sums for block, sums in enumerate(self._blocks) if sums is not None}
        if self._open is not None and self._open_kl is not None:
            state |= {"under_way": torch.tensor(self._open[0]), "under_way.kl": self._open_kl}
            parts["under_way"] = self._open[1]
        for part, sums in parts.items():
            state |= {f"{part}.{name}": tensor for name, tensor in sums.state_dict().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned: go on with ``parts()``, the reviews that are left.

        Raises:
            ValueError: it is the state of another sample or of other probes.
        """
        if "done" not in state or state["done"].shape != self.done.shape:
            raise ValueError(f"not the state of a pass over {len(self.done):,} reviews")

        def restored(part: str) -> Sums | None:
            own = {key.removeprefix(f"{part}."): t for key, t in state.items() if key.startswith(f"{part}.")}
            return Sums.from_state(own, self.probes, self.dim) if own else None

        blocks = (restored(str(block)) for block in range(len(self._blocks)))
        self._blocks = [None if sums is None else sums.to(self._place) for sums in blocks]
        under_way = restored("under_way")
        self._open = None if under_way is None else (int(state["under_way"]), under_way)
        self._open_kl = None if under_way is None else state["under_way.kl"].clone()
        started = [sums for sums in (*self._blocks, under_way) if sums is not None]
        self._shifts = started[0].shifts if started else None
        self.kl = state["kl"].numpy().copy() if "kl" in state else None
        self.done = state["done"].numpy().copy()
