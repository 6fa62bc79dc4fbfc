"""The one-pass accumulator behind every metric: additive, O(dim^2), whatever the number of rows."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.sums import PairedRows, Sums

AnyArray = Tensor | npt.NDArray[np.floating]


class Moments:
    """Float64 sums over paired rows ``x`` (FP32 reference) and ``y`` (perturbed).

    It accumulates ``e = y - x`` instead of ``y``: the covariances of ``y`` follow from it, the reverse loses
    the digits that 1 - similarity needs when ``y`` is close to ``x``. Rows are shifted by a constant near the
    mean of ``x``, fixed at the first update, so that a large mean costs no digits either. Three d x d sums,
    six d-vectors and six scalars are enough for CKA, debiased CKA, SVCCA and PWCCA.

    Args:
        dim: features per row.
        shift: (dim,) constant to subtract from ``x``; default the mean of the first batch.
        difference_shift: (dim,) constant to subtract from ``y - x``; default the mean of the first batch, or
            0 where ``shift`` is given. Moments that will be merged must share both: see ``sibling``.
    """

    def __init__(
        self, dim: int, shift: AnyArray | None = None, difference_shift: AnyArray | None = None
    ) -> None:
        self.dim = dim
        self._sums: Sums | None = None  # of this one pair; None before there are shifts
        if shift is not None:
            first = _tensor(shift).double().reshape(dim)
            second = torch.zeros(dim) if difference_shift is None else _tensor(difference_shift)
            second = second.to(first)
            self._sums = Sums.zeros(torch.stack([first, second.reshape(dim)])[None])

    @classmethod
    def of(cls, sums: Sums) -> tuple["Moments", ...]:
        """Return the moments of every pair in ``sums``; they stay shared with it."""
        made = tuple(cls(sums.vectors.shape[2]) for _ in sums.scalars)
        for index, moments in enumerate(made):
            moments._sums = sums.pair(index)
        return made

    @property
    def sums(self) -> Sums | None:
        """The sums of this one pair; None before the first update where no shift was given."""
        return self._sums

    @property
    def shift(self) -> Tensor | None:
        """(dim,) float64 constant subtracted from ``x``; None before the first update."""
        return None if self._sums is None else self._sums.shifts[0, 0]

    @property
    def samples(self) -> int:
        """Rows accumulated; rows that held NaN or infinity are not counted."""
        return 0 if self._sums is None else int(self._sums.scalars[0, 0])

    @property
    def nbytes(self) -> int:
        """Size of the state in bytes from the first row on, whatever the number of rows."""
        return 8 * (3 * self.dim**2 + 6 * self.dim + 8)

    @property
    def shifts(self) -> Tensor | None:
        """(2, dim) float64 constants subtracted from ``x`` and ``y - x``; None before the first update."""
        return None if self._sums is None else self._sums.shifts[0]

    def sibling(self) -> "Moments":
        """Return an empty accumulator with the same shifts, to be merged later.

        Raises:
            ValueError: there are no shifts yet: update first, or give them to the constructor.
        """
        if self._sums is None:
            raise ValueError("no shift yet: update first, or give one to the constructor")
        (empty,) = Moments.of(Sums.zeros(self._sums.shifts.clone()))
        return empty

    def update(self, x: AnyArray, y: AnyArray) -> None:
        """Add rows.

        A row with NaN or infinity is counted and left out: one such row would poison every sum.

        Args:
            x: (rows, dim) FP32 reference, numpy or torch, on any device.
            y: (rows, dim) perturbed, paired with ``x``.

        Raises:
            ValueError: the shapes differ from each other or from ``dim``.
        """
        if x.shape != y.shape or len(x.shape) != 2 or x.shape[1] != self.dim:
            raise ValueError(f"expected two (rows, {self.dim}) arrays, got {x.shape=} and {y.shape=}")
        if not len(x):
            return
        first, second = _tensor(x), _tensor(y)
        place = first.device if self._sums is None else self._sums.shifts.device
        rows = PairedRows.of(first.to(place)[None], second.to(place)[None])
        if self._sums is None:
            self._sums = Sums.zeros(rows.means())
        self._sums.add(rows)

    def merge(self, other: "Moments") -> None:
        """Add the rows that ``other`` has seen.

        Raises:
            ValueError: dim or shift differ.
        """
        theirs = self._mergeable(other)
        if theirs is None:
            return
        if self._sums is None:
            self._sums = theirs.copy()
            return
        self._sums.merge(theirs)

    def without(self, part: "Moments") -> "Moments":
        """Return the moments of the rows that are not in ``part``, which must have been merged into these.

        Raises:
            ValueError: dim or shift differ.
        """
        rest = Moments(self.dim)
        rest.merge(self)
        theirs = self._mergeable(part)
        if theirs is not None and rest._sums is not None:
            for mine, less in zip(rest._sums.added, theirs.added, strict=True):
                mine -= less.to(mine.device)
        return rest

    def covariances(self) -> Covariances:
        """Return the centred second and fourth-order sums, where the sums are.

        Raises:
            ValueError: no rows yet, or the FP32 reference held NaN or infinity.
        """
        if self._sums is None:
            raise ValueError("no rows have been accumulated")
        scalars = self._sums.scalars[0].cpu()
        if scalars[6]:
            raise ValueError(f"{int(scalars[6])} rows of the FP32 reference hold NaN or infinite values")
        if not scalars[0] and not scalars[7]:
            raise ValueError("no rows have been accumulated")
        return Covariances.from_sums(scalars, self._sums.vectors[0], self._sums.matrices[:, 0])

    def _mergeable(self, other: "Moments") -> Sums | None:
        """Return the sums of ``other`` after a check that they fit these; None where it has none yet."""
        if other.dim != self.dim:
            raise ValueError(f"cannot merge moments of {other.dim} features into {self.dim}")
        if other._sums is None:
            return None
        if self._sums is not None and not torch.equal(self._sums.shifts.cpu(), other._sums.shifts.cpu()):
            raise ValueError("cannot merge moments with different shifts: make them with sibling()")
        return other._sums


def _tensor(rows: AnyArray) -> Tensor:
    """Return the rows as a tensor, which may share their memory."""
    if isinstance(rows, np.ndarray):  # a view with negative strides has no torch counterpart
        return torch.from_numpy(np.require(rows, requirements=["C", "W"]))
    return rows.detach().cpu() if rows.device.type == "mps" else rows.detach()  # MPS has no float64
