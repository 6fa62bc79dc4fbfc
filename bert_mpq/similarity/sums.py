"""What ``Moments`` adds up, for any number of pairs of representations at once.

The second and fourth-order sums of shifted rows that linear CKA (Kornblith et al. 2019), debiased CKA (Song
et al. 2012) and CCA need; ``Covariances.from_sums`` centres them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PairedRows:
    """Rows of K pairs, ready to be added. A row with NaN or infinity on either side is 0 on both.

    Args:
        x: (K, rows, dim) float64, the FP32 reference.
        e: (K, rows, dim) float64, perturbed less reference.
        good: (K, rows, 1) whether a row is finite on both sides.
        bad: (K, 2) rows that are not, of the reference and of the perturbed side.
        clean: all are known to be; on a GPU the answer would have to be waited for.
    """

    x: Tensor
    e: Tensor
    good: Tensor
    bad: Tensor
    clean: bool

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "PairedRows":
        """Pair up (K, rows, dim) rows of any float type; both are copied."""
        x, y = (side.to(torch.float64, copy=True, memory_format=torch.contiguous_format) for side in (x, y))
        good_x, good_y = torch.isfinite(x).all(2), torch.isfinite(y).all(2)
        good = (good_x & good_y)[..., None]
        clean = x.device.type == "cpu" and bool(good.all())
        e = y.sub_(x)
        if not clean:
            e.masked_fill_(~good, 0.0)
            x.masked_fill_(~good, 0.0)
        bad = torch.stack([(~good_x).sum(1), (~good_y).sum(1)], 1)
        return cls(x=x, e=e, good=good, bad=bad, clean=clean)

    def means(self) -> Tensor:
        """Return (K, 2, dim) means of ``x`` and ``e`` over the good rows; 0 where there is none."""
        return torch.stack([self.x.sum(1), self.e.sum(1)], 1) / self.good.sum(1, keepdim=True).clamp(min=1)

    def shifted(self, shifts: Tensor) -> "PairedRows":
        """Return the rows less (K, 2, dim) ``shifts``; in place, so that these rows are used up."""
        for side, shift in ((self.x, shifts[:, :1]), (self.e, shifts[:, 1:])):
            side.sub_(shift)
            if not self.clean:
                side.masked_fill_(~self.good, 0.0)
        return self


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Float64 sums over the shifted rows of K pairs. With p = |x|^2 and t = |y|^2 - |x|^2 per row:

    Args:
        shifts: (K, 2, dim) what was subtracted from ``x`` and ``e``.
        scalars: (K, 8) rows, p, t, p^2, p t, t^2, and the rows left out because of x and of y.
        vectors: (K, 6, dim) x, e, p x, p e, t x, t e.
        matrices: (3, K, dim, dim) x x^T, x e^T, e e^T.
    """

    shifts: Tensor
    scalars: Tensor
    vectors: Tensor
    matrices: Tensor

    @classmethod
    def zeros(cls, shifts: Tensor) -> "Sums":
        """Return sums over no row, on the device of the (K, 2, dim) float64 shifts."""
        pairs, _, dim = shifts.shape
        return cls(
            shifts=shifts,
            scalars=shifts.new_zeros(pairs, 8),
            vectors=shifts.new_zeros(pairs, 6, dim),
            matrices=shifts.new_zeros(3, pairs, dim, dim),
        )

    def copy(self) -> "Sums":
        """Return sums that share no memory with these, without gaps between their matrices."""
        copied = {
            name: tensor.clone(memory_format=torch.contiguous_format)
            for name, tensor in self.state_dict().items()
        }
        return Sums(**copied)

    def pair(self, index: int) -> "Sums":
        """Return the sums of one pair; they stay shared with these."""
        one = slice(index, index + 1)
        return Sums(
            shifts=self.shifts[one],
            scalars=self.scalars[one],
            vectors=self.vectors[one],
            matrices=self.matrices[:, one],
        )

    def to(self, device: torch.device | str) -> "Sums":
        """Return the sums on ``device``: themselves where they are there already."""
        return Sums(
            shifts=self.shifts.to(device),
            scalars=self.scalars.to(device),
            vectors=self.vectors.to(device),
            matrices=self.matrices.to(device),
        )

    @property
    def added(self) -> tuple[Tensor, Tensor, Tensor]:
        """What adds up over rows, blocks and processes: everything but the shifts."""
        return self.scalars, self.vectors, self.matrices

    def merge(self, other: "Sums") -> None:
        """Add the rows that ``other`` has seen, on any device; it must have the same shifts."""
        for mine, more in zip(self.added, other.added, strict=True):
            mine += more.to(mine.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything there is to save."""
        return {name: getattr(self, name) for name in ("shifts", "scalars", "vectors", "matrices")}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], pairs: int, dim: int) -> "Sums":
        """Return a copy of what ``state_dict`` returned.

        Raises:
            ValueError: it is the state of other sums: names, shapes or types differ.
        """
        empty = cls.zeros(torch.zeros(pairs, 2, dim, dtype=torch.float64)).state_dict()
        for name, expected in empty.items():
            given = state.get(name)
            if given is None or (given.shape, given.dtype) != (expected.shape, torch.float64):
                raise ValueError(f"{name}: expected float64 {tuple(expected.shape)}, got {given}")
        return cls(**{name: state[name].clone() for name in empty})

    def add(self, rows: PairedRows) -> None:
        """Add rows of every pair, on the same device, which are used up. Nothing here waits for a GPU."""
        rows = rows.shifted(self.shifts)
        x, e = rows.x, rows.e
        p = x.square().sum(2)
        t = 2.0 * (x * e).sum(2) + e.square().sum(2)  # |y|^2 - |x|^2 without cancellation
        weights = torch.stack([p, t], 1)
        scalars = [rows.good.sum((1, 2)), p.sum(1), t.sum(1), (p * p).sum(1), (p * t).sum(1), (t * t).sum(1)]
        scalars.extend(rows.bad.unbind(1))
        plain = torch.stack([x.sum(1), e.sum(1)], 1)  # pairwise sums: exact enough to find a constant side
        weighted = torch.stack([weights @ x, weights @ e], 2).flatten(1, 2)
        self.scalars.add_(torch.stack([s.double() for s in scalars], 1))
        self.vectors.add_(torch.cat([plain, weighted], 1))
        for sums, (left, right) in zip(self.matrices, ((x, x), (x, e), (e, e)), strict=True):
            sums.baddbmm_(left.mT, right)


def paired(reference: Tensor, perturbed: Tensor) -> PairedRows:
    """Return the rows of K pairs from (rows, R, dim) and (rows, K, dim); each reference has K / R of them."""
    x, y = reference.transpose(0, 1), perturbed.transpose(0, 1)
    if y.device.type == "mps":  # it has no float64
        x, y = x.cpu(), y.cpu()
    x = x[:, None].expand(-1, len(y) // len(x), -1, -1).reshape(y.shape)
    return PairedRows.of(x, y)
