"""The one-pass accumulator behind every metric: additive, O(dim^2), whatever the number of rows."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bert_mpq.similarity.covariances import Covariances

STATE = ("scalars", "vectors", "matrices")
Rows = Tensor | npt.NDArray[np.floating]


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

    def __init__(self, dim: int, shift: Rows | None = None, difference_shift: Rows | None = None) -> None:
        self.dim = dim
        self._shifts: Tensor | None = None  # (2, dim)
        if shift is not None:
            first = _float64(shift).reshape(dim)
            second = torch.zeros_like(first) if difference_shift is None else _float64(difference_shift)
            self._shifts = torch.stack([first, second.reshape(dim)])
        self._allocate(torch.device("cpu") if self._shifts is None else self._shifts.device)

    def _allocate(self, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        self._scalars = zeros(8)  # n, P, T, PP, PT, TT, bad rows of x, bad rows of y
        self._vectors = zeros(6, self.dim)  # sx, se, px, pe, tx, te
        self._matrices = zeros(3, self.dim, self.dim)  # Sxx, Sxe, See

    @property
    def shift(self) -> Tensor | None:
        """(dim,) float64 constant subtracted from ``x``; None before the first update."""
        return None if self._shifts is None else self._shifts[0]

    @property
    def samples(self) -> int:
        """Rows accumulated; rows that held NaN or infinity are not counted."""
        return int(self._scalars[0])

    @property
    def nbytes(self) -> int:
        """Size of the state in bytes; it does not depend on the number of rows."""
        return sum(t.numel() * t.element_size() for t in (self._scalars, self._vectors, self._matrices))

    @property
    def shifts(self) -> Tensor | None:
        """(2, dim) float64 constants subtracted from ``x`` and ``y - x``; None before the first update."""
        return self._shifts

    def sibling(self, device: torch.device | None = None) -> "Moments":
        """Return an empty accumulator with the same shifts, to be merged later.

        Args:
            device: where its sums live; default here. Rows from that device are then added without waiting.

        Raises:
            ValueError: there are no shifts yet: update first, or give them to the constructor.
        """
        if self._shifts is None:
            raise ValueError("no shift yet: update first, or give one to the constructor")
        place = self._scalars.device if device is None or device.type == "mps" else device
        return Moments(self.dim, *self._shifts.to(place))

    def cpu(self) -> "Moments":
        """Return the moments on the host: themselves where they are there already."""
        if self._scalars.device.type == "cpu" or self._shifts is None:
            return self
        host = self.sibling(torch.device("cpu"))
        host.merge(self)
        return host

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything there is to save: the sums and, after the first update, the shifts."""
        state = dict(zip(STATE, self._state(), strict=True))
        return state if self._shifts is None else {**state, "shifts": self._shifts}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what ``state_dict`` returned.

        Raises:
            ValueError: it is the state of other moments: names, shapes or types differ.
        """
        expected = dict(zip(STATE, self._state(), strict=True))
        expected |= {"shifts": self._vectors[:2]} if "shifts" in state else {}
        for name, tensor in expected.items():
            given = state.get(name)
            if given is None or (given.shape, given.dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"{name}: expected float64 {tuple(tensor.shape)}, got {given}")
        self._scalars, self._vectors, self._matrices = (state[name].clone() for name in STATE)
        self._shifts = state["shifts"].clone() if "shifts" in state else None

    def update(self, x: Rows, y: Rows) -> None:
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
        x, y = _float64(x), _float64(y)
        good_x, good_y = torch.isfinite(x).all(1), torch.isfinite(y).all(1)
        good = (good_x & good_y)[:, None]
        # On a GPU the answer would have to be waited for.
        clean = x.device.type == "cpu" and bool(good.all())
        e = y.sub_(x) if clean else torch.where(good, y - x, 0.0)
        x = x if clean else torch.where(good, x, 0.0)
        if self._shifts is None:
            self._shifts = torch.stack([x.sum(0), e.sum(0)]) / good.sum().clamp(min=1)
            self._allocate(x.device)
        shift, difference_shift = self._shifts.to(x.device)
        x, e = x.sub_(shift), e.sub_(difference_shift)
        if not clean:
            x, e = torch.where(good, x, 0.0), torch.where(good, e, 0.0)
        p = x.square().sum(1)  # |x|^2
        t = 2.0 * (x * e).sum(1) + e.square().sum(1)  # |y|^2 - |x|^2 without cancellation
        scalars = [good.sum(), p.sum(), t.sum(), p @ p, p @ t, t @ t, (~good_x).sum(), (~good_y).sum()]
        self._scalars += torch.stack([s.double() for s in scalars]).to(self._scalars.device)
        vectors = [x.sum(0), e.sum(0), p @ x, p @ e, t @ x, t @ e]
        self._vectors += torch.stack(vectors).to(self._vectors.device)
        for matrix, product in zip(self._matrices, (x.T @ x, x.T @ e, e.T @ e), strict=True):
            matrix += product.to(matrix.device)

    def merge(self, other: "Moments") -> None:
        """Add the rows that ``other`` has seen.

        Raises:
            ValueError: dim or shift differ.
        """
        if self._shifts is None and other._shifts is not None and other.dim == self.dim:
            self._shifts = other._shifts.clone()
            self._allocate(other._scalars.device)
        if not self._check_mergeable(other):
            return
        for mine, theirs in zip(self._state(), other._state(), strict=True):
            mine += theirs.to(mine.device)

    def without(self, part: "Moments") -> "Moments":
        """Return the moments of the rows that are not in ``part``, which must have been merged into these.

        Raises:
            ValueError: dim or shift differ.
        """
        rest = Moments(self.dim)
        rest.merge(self)
        self._check_mergeable(part)
        for mine, theirs in zip(rest._state(), part._state(), strict=True):
            mine -= theirs.to(mine.device)
        return rest

    def all_reduce(self, group: "torch.distributed.ProcessGroup | None" = None) -> None:
        """Sum the state over the processes of ``group``, on every one of them.

        A process that has seen no row takes part and adopts the shifts of the others.

        Raises:
            ValueError: the processes have different shifts (on every process), or none has seen a row.
        """
        infinite = torch.full((2, self.dim), torch.inf, dtype=torch.float64, device=self._scalars.device)
        low, high = (infinite, -infinite) if self._shifts is None else (self._shifts.clone(),) * 2
        low, high = low.clone(), high.clone()
        torch.distributed.all_reduce(low, torch.distributed.ReduceOp.MIN, group)
        torch.distributed.all_reduce(high, torch.distributed.ReduceOp.MAX, group)
        if not torch.equal(low, high):
            raise ValueError("cannot add moments with different shifts: give every process the same")
        self._shifts = low
        for tensor in self._state():
            torch.distributed.all_reduce(tensor, group=group)

    def covariances(self) -> Covariances:
        """Return the centred second and fourth-order sums, on the CPU.

        Raises:
            ValueError: no rows yet, or the FP32 reference held NaN or infinity.
        """
        scalars, vectors, matrices = (tensor.cpu().numpy() for tensor in self._state())
        if scalars[6]:
            raise ValueError(f"{int(scalars[6])} rows of the FP32 reference hold NaN or infinite values")
        if not scalars[0] and not scalars[7]:
            raise ValueError("no rows have been accumulated")
        return Covariances.from_sums(scalars, vectors, matrices)

    def _check_mergeable(self, other: "Moments") -> bool:
        """Return whether ``other`` has sums that can be merged with these; False where it has none yet."""
        if other.dim != self.dim:
            raise ValueError(f"cannot merge moments of {other.dim} features into {self.dim}")
        if other._shifts is None:
            return False
        if self._shifts is None or not torch.equal(self._shifts.cpu(), other._shifts.cpu()):
            raise ValueError("cannot merge moments with different shifts: make them with sibling()")
        return True

    def _state(self) -> tuple[Tensor, Tensor, Tensor]:
        return self._scalars, self._vectors, self._matrices


def _float64(rows: Rows) -> Tensor:
    # A view with negative strides has no torch counterpart; the caller's own memory must not be kept.
    tensor = torch.from_numpy(np.array(rows)) if isinstance(rows, np.ndarray) else rows.detach()
    if tensor.device.type == "mps":  # MPS has no float64
        tensor = tensor.cpu()
    return tensor.to(torch.float64, copy=not isinstance(rows, np.ndarray))
