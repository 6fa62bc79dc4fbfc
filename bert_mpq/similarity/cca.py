"""Canonical correlation metrics from moments: SVCCA (Raghu et al. 2017) and PWCCA (Morcos et al. 2018)."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from bert_mpq.similarity.covariances import Array, Covariances
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity, Status
from bert_mpq.similarity.special import special_case


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Principal directions of one side: C = S V diag(lam) V^T S, split into kept and dropped pairs."""

    scale: Array  # (d,) S
    kept: Array  # (d, r) eigenvectors
    kept_variance: Array  # (r,) descending
    dropped: Array  # (d, d - r)
    dropped_variance: Array  # (d - r,)

    @property
    def rank(self) -> int:
        """Directions kept."""
        return int(self.kept.shape[1])

    @property
    def whitening(self) -> Array:
        """(d, r) A with A^T C A = I."""
        return self.kept / self.scale[:, None] / np.sqrt(self.kept_variance)


@dataclass(frozen=True, kw_only=True)
class Canonical:
    """Canonical directions of the reference side, most correlated first."""

    distances: Array  # (r,) 1 - rho
    directions: Array  # (r, r) columns, in whitened coordinates of the reference


def pwcca(data: Moments | Covariances) -> Similarity:
    """Projection-weighted CCA: canonical correlations weighted by how much of X each direction explains.

    alpha_i = sum_j |<h_i, x_j>| with canonical variates h_i of the centred FP32 side (Morcos et al. 2018,
    sec. 2.2). The reference side is always X: the metric is not symmetric. Directions of X that Y has lost
    count with rho = 0 (the paper sums only over the smaller rank, which would make a collapsed layer look
    perfect). Needs more rows than the two ranks together.
    """
    covariances = data.covariances() if isinstance(data, Moments) else data
    special = special_case(covariances)
    if special is not None:
        return special
    dead = 1e-14 * np.diag(covariances.xx + covariances.ee)  # what cancellation leaves of a variance
    reference = _numerical_basis(covariances.xx, 1e-10, dead)
    other = _numerical_basis(covariances.yy, 1e-12, dead)
    canonical = _correlate(covariances, reference, other)
    variates = canonical.directions.T @ (reference.whitening.T @ covariances.xx)  # (r, d) <h_i, x_j>
    if reference.rank > other.rank:
        # All lost directions have rho = 0: any basis of them would do for CCA, but the L1 weights depend on
        # it. Take their principal axes, which do not depend on rounding.
        axes, _ = _svd(variates[other.rank :])
        variates[other.rank :] = axes.T @ variates[other.rank :]
    alpha = np.abs(variates).sum(1)
    return _answer(covariances.samples, float(alpha @ canonical.distances / alpha.sum()), reference, other)


def svcca(data: Moments | Covariances, variance: float = 0.99, top_k: int | None = None) -> Similarity:
    """Singular vector CCA: mean canonical correlation of the leading principal directions of each side.

    Args:
        data: moments of X and Y.
        variance: keep the fewest directions that hold this share of the variance (of the squared singular
            values, Raghu et al. 2017, sec. 2), for each side.
        top_k: keep this many directions instead.

    Raises:
        ValueError: variance is outside (0, 1] or top_k is below 1.
    """
    if not 0.0 < variance <= 1.0 or (top_k is not None and top_k < 1):
        raise ValueError(f"variance must be in (0, 1] and top_k at least 1, got {variance=} and {top_k=}")
    covariances = data.covariances() if isinstance(data, Moments) else data
    special = special_case(covariances)
    if special is not None:
        return special
    reference = _principal_basis(covariances.xx, variance, top_k)
    other = _principal_basis(covariances.yy, variance, top_k)
    canonical = _correlate(covariances, reference, other)
    k = min(reference.rank, other.rank)
    return _answer(covariances.samples, float(canonical.distances[:k].mean()), reference, other)


def _answer(n: int, distance: float, reference: Basis, other: Basis) -> Similarity:
    directions = reference.rank + other.rank
    status: Status = "ok"
    if n - 1 < directions:
        status = "saturated"  # directions - (n - 1) correlations are 1 whatever the data
    elif n < 10 * directions:
        status = "few_samples"
    return Similarity(
        distance=distance,
        status=status,
        samples=n,
        ranks=(reference.rank, other.rank),
    )


def _correlate(c: Covariances, reference: Basis, other: Basis) -> Canonical:
    """Return 1 - rho for every kept reference direction.

    With E = Y - X small, 1 - rho^2 are the eigenvalues of the covariance of whitened X that Y does not
    explain, which is built from E alone: no 1 - 1 is ever formed. Where Y is far from X that form has no
    advantage and the direct SVD is used.
    """
    whiten_x, whiten_y = reference.whitening, other.whitening
    if c.far:
        vectors, rho = _svd(whiten_x.T @ c.xy @ whiten_y)
        distances = np.ones(reference.rank)
        distances[: len(rho)] = 1.0 - np.clip(rho, 0.0, 1.0)
        return Canonical(distances=distances, directions=vectors)
    f = c.ye @ whiten_x
    z = whiten_y.T @ f
    unexplained = whiten_x.T @ c.ee @ whiten_x - z.T @ z
    if other.dropped.shape[1]:
        b = other.dropped.T @ (other.scale[:, None] * whiten_x)
        q = (other.dropped @ b / other.scale[:, None]).T @ f
        unexplained += b.T @ (other.dropped_variance[:, None] * b) - q - q.T
    values, vectors = _eigh((unexplained + unexplained.T) / 2)
    values = np.clip(values, 0.0, 1.0)
    values[other.rank :] = 1.0  # directions that Y has lost
    return Canonical(distances=values / (1.0 + np.sqrt(1.0 - values)), directions=vectors)


def _numerical_basis(covariance: Array, tolerance: float, dead: Array) -> Basis:
    """Keep every direction above ``tolerance`` of the largest, after scaling features to unit variance.

    BERT's outlier features would dominate the condition number otherwise. A feature whose variance is at most
    ``dead`` is constant: it becomes a dropped pair.
    """
    variance = np.diag(covariance)
    alive = variance > np.maximum(dead, 1e-24 * variance.max())
    scale = np.where(alive, np.sqrt(np.where(alive, variance, 1.0)), 1.0)
    values, vectors = _eigh(np.where(alive & alive[:, None], covariance / scale / scale[:, None], 0.0))
    rank = int((values[::-1] > tolerance * values[-1]).sum())
    return _split(scale, values, vectors, rank)


def _principal_basis(covariance: Array, variance: float, top_k: int | None) -> Basis:
    values, vectors = _eigh(covariance)
    descending = np.clip(values[::-1], 0.0, None)
    positive = int((descending > 1e-12 * descending[0]).sum())
    if top_k is None:
        share = np.cumsum(descending) / descending.sum()
        # The last share can round to less than 1.
        rank = int(np.searchsorted(share, min(variance, float(share[-1])))) + 1
    else:
        rank = top_k
    return _split(np.ones(len(values)), values, vectors, min(rank, positive))


def _split(scale: Array, values: Array, vectors: Array, rank: int) -> Basis:
    values, vectors = values[::-1], vectors[:, ::-1]
    return Basis(
        scale=scale,
        kept=vectors[:, :rank],
        kept_variance=values[:rank],
        dropped=vectors[:, rank:],
        dropped_variance=values[rank:],
    )


def _eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues (ascending) and eigenvectors; the slow QR driver where divide and conquer fails."""
    try:
        values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    except scipy.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(matrix, driver="ev")
    return values, vectors


def _svd(matrix: Array) -> tuple[Array, Array]:
    """Left singular vectors (all of them) and singular values; the slow driver where the fast one fails."""
    try:
        u, s, _ = scipy.linalg.svd(matrix, full_matrices=True)
    except scipy.linalg.LinAlgError:
        u, s, _ = scipy.linalg.svd(matrix, full_matrices=True, lapack_driver="gesvd")
    return u, s
