"""Coordinates in which one side has unit covariance."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from bert_mpq.similarity.linalg import cholesky, eigh, finish, reciprocal_condition, solve_lower

Made = TypeVar("Made")
SAFE = 1e-8  # reciprocal condition above which no direction can fall below the thresholds of a rank


@dataclass(frozen=True, kw_only=True)
class Triangular:
    """Whitening by the Cholesky factor of the correlations, C = S L L^T S: no direction is dropped."""

    scale: Tensor  # (d,) S
    factor: Tensor  # (d, d) L
    condition: float

    @property
    def rank(self) -> int:
        """Directions kept: all."""
        return len(self.scale)

    def apply(self, matrix: Tensor) -> Tensor:
        """Return A^T B for a (d, m) matrix B, with A = S^-1 L^-T."""
        return solve_lower(self.factor, matrix / self.scale[:, None])

    @property
    def root(self) -> Tensor:
        """(d, d) A^T C = L^T S."""
        return self.factor.mT * self.scale


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Whitening by principal directions, C = S V diag(lam) V^T S, split into kept and dropped pairs."""

    scale: Tensor  # (d,) S
    kept: Tensor  # (d, r) eigenvectors
    kept_variance: Tensor  # (r,) descending
    dropped: Tensor  # (d, d - r)
    dropped_variance: Tensor  # (d - r,)

    @property
    def rank(self) -> int:
        """Directions kept."""
        return int(self.kept.shape[1])

    @property
    def condition(self) -> float:
        """Largest over smallest variance among the directions kept."""
        return float(self.kept_variance[0] / self.kept_variance[-1])

    def apply(self, matrix: Tensor) -> Tensor:
        """Return A^T B for a (d, m) matrix B, with A = S^-1 V diag(lam)^-1/2."""
        directions = self.kept / self.scale[:, None] / self.kept_variance.sqrt()
        return directions.mT @ matrix

    @property
    def sensitivity_to_cut(self) -> float:
        """Largest variance over the gap between the last kept and the first dropped direction.

        A change of C by a share eps of its norm turns the kept subspace by about eps times this (Davis and
        Kahan 1970). 0 where nothing is dropped.
        """
        if not len(self.dropped_variance):
            return 0.0
        gap = max(float(self.kept_variance[-1] - self.dropped_variance[0]), 0.0)
        return float(self.kept_variance[0]) / gap if gap else np.inf

    @property
    def root(self) -> Tensor:
        """(r, d) A^T C = diag(lam)^1/2 V^T S."""
        return (self.kept * self.kept_variance.sqrt()).mT * self.scale


Whitening = Triangular | Basis  # a matrix A (d x r) with A^T C A = I, which is only ever applied


class Side:
    """Covariance of one side with its decompositions: each is made once, for all metrics and layers.

    Args:
        covariance: (d, d) symmetric, positive semidefinite up to rounding.
    """

    def __init__(self, covariance: Tensor) -> None:
        self.covariance = covariance
        self._lock = threading.Lock()
        self._made: dict[Hashable, object] = {}

    def numerical(self, tolerance: float, dead: Tensor) -> Whitening:
        """Whiten the directions above ``tolerance`` of the largest, all features scaled to variance 1.

        BERT's outlier features would dominate the condition number otherwise. A feature whose variance is at
        most ``dead`` is constant: it becomes a dropped direction. Where none needs to be dropped a Cholesky
        factor does the same as the eigenvectors, in a tenth of the time.

        Args:
            tolerance: share of the largest variance.
            dead: (d,) variances that rounding can leave of a constant.
        """
        return self._once(("numerical", tolerance), lambda: self._numerical(tolerance, dead))

    def principal(self, variance: float, top_k: int | None) -> Basis:
        """Whiten the fewest principal directions with this share of the variance, or ``top_k`` of them."""
        values, vectors = self._once("principal", lambda: eigh(self.covariance))
        descending = np.clip(values.flip(0).cpu().numpy(), 0.0, None)
        positive = int((descending > 1e-12 * descending[0]).sum())
        if top_k is None:
            share = np.cumsum(descending) / descending.sum()
            # The last share can round to less than 1.
            rank = int(np.searchsorted(share, min(variance, float(share[-1])))) + 1
        else:
            rank = top_k
        return _split(torch.ones_like(values), values, vectors, min(rank, positive))

    def _numerical(self, tolerance: float, dead: Tensor) -> Whitening:
        variance = self.covariance.diagonal()
        alive = variance > dead.clamp(min=1e-24 * float(variance.max()))
        scale = variance.where(alive, 1.0).sqrt()
        scaled = (self.covariance / scale / scale[:, None]).where(alive & alive[:, None], 0.0)
        factor = cholesky(scaled) if bool(alive.all()) else None
        if factor is not None:
            safe = reciprocal_condition(factor, float(scaled.abs().sum(0).max()))
            if safe > SAFE:
                return Triangular(scale=scale, factor=factor, condition=1.0 / safe)
        values, vectors = eigh(scaled)
        rank = int((values > tolerance * values[-1]).sum())
        return _split(scale, values, vectors, rank)

    def _once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        with self._lock:  # another thread that needs the same waits instead of making it twice
            if key not in self._made:
                self._made[key] = make()
                finish(self.covariance.device)
            return cast(Made, self._made[key])


def _split(scale: Tensor, values: Tensor, vectors: Tensor, rank: int) -> Basis:
    values, vectors = values.flip(0), vectors.flip(1)
    return Basis(
        scale=scale,
        kept=vectors[:, :rank],
        kept_variance=values[:rank],
        dropped=vectors[:, rank:],
        dropped_variance=values[rank:],
    )
