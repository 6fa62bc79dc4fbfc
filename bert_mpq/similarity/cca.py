"""Canonical correlation metrics from moments: SVCCA (Raghu et al. 2017) and PWCCA (Morcos et al. 2018)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bert_mpq.similarity.covariances import Covariances
from bert_mpq.similarity.linalg import eigenvalues, eigh, svd
from bert_mpq.similarity.moments import Moments
from bert_mpq.similarity.score import Similarity, Status
from bert_mpq.similarity.special import centred
from bert_mpq.similarity.whitening import Basis, Whitening


@dataclass(frozen=True, kw_only=True)
class Canonical:
    """Canonical directions of the reference side, most correlated first."""

    distances: Tensor  # (r,) 1 - rho
    directions: Tensor  # (r, r) columns, in whitened coordinates of the reference
    terms: float  # size of what 1 - rho was computed from: rounding is a share of this, not of 1 - rho


def pwcca(data: Moments | Covariances) -> Similarity:
    """Projection-weighted CCA: canonical correlations weighted by how much of X each direction explains.

    alpha_i = sum_j |<h_i, x_j>| with canonical variates h_i of the centred FP32 side (Morcos et al. 2018,
    sec. 2.2). The reference side is always X: the metric is not symmetric. Directions of X that Y has lost
    count with rho = 0 (the paper sums only over the smaller rank, which would make a collapsed layer look
    perfect). Needs more rows than the two ranks together.
    """
    covariances = centred(data)
    if isinstance(covariances, Similarity):
        return covariances
    dead = 1e-14 * (covariances.xx + covariances.ee).diagonal()  # what cancellation leaves of a variance
    reference = covariances.reference.numerical(1e-10, dead)
    other = covariances.perturbed.numerical(1e-12, dead)
    canonical = _correlate(covariances, reference, other)
    variates = canonical.directions.mT @ reference.root  # (r, d) <h_i, x_j>
    if reference.rank > other.rank:
        # All lost directions have rho = 0: any basis of them would do for CCA, but the L1 weights depend on
        # it. Take their principal axes, which do not depend on rounding.
        axes, _ = svd(variates[other.rank :])
        variates[other.rank :] = axes.mT @ variates[other.rank :]
    alpha = variates.abs().sum(1)
    distance = float(alpha @ canonical.distances / alpha.sum())
    return _answer(covariances, distance, canonical.terms, reference, other)


def svcca(data: Moments | Covariances, variance: float = 0.99, top_k: int | None = None) -> Similarity:
    """Singular vector CCA: mean canonical correlation of the leading principal directions of each side.

    Args:
        variance: keep the fewest directions that hold this share of the variance (of the squared singular
            values, Raghu et al. 2017, sec. 2), for each side.
        top_k: keep this many directions instead.

    Raises:
        ValueError: variance is outside (0, 1] or top_k is below 1.
    """
    if not 0.0 < variance <= 1.0 or (top_k is not None and top_k < 1):
        raise ValueError(f"variance must be in (0, 1] and top_k at least 1, got {variance=} and {top_k=}")
    covariances = centred(data)
    if isinstance(covariances, Similarity):
        return covariances
    reference = covariances.reference.principal(variance, top_k)
    other = covariances.perturbed.principal(variance, top_k)
    distances, terms = _distances(covariances, reference, other)
    distance = float(distances[: min(reference.rank, other.rank)].mean())
    turned = max(reference.sensitivity_to_cut, other.sensitivity_to_cut)
    return _answer(covariances, distance, terms, reference, other, turned)


def _answer(
    c: Covariances,
    distance: float,
    terms: float,
    reference: Whitening,
    other: Whitening,
    turned: float = 0.0,
) -> Similarity:
    """Add status and noise floor.

    Rounding changes whitened sums by a share of the condition number. It turns the kept subspaces by a share
    of ``turned``, which 1 - rho, half the square of an angle, feels times the angle.
    """
    n, directions = c.samples, reference.rank + other.rank
    condition = max(reference.condition, other.condition)
    floor = c.relative_noise * (
        condition * terms + turned * (math.sqrt(2.0 * distance) + c.relative_noise * turned)
    )
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
        noise_floor=float(min(floor, 1.0)),
    )


def _correlate(c: Covariances, reference: Whitening, other: Whitening) -> Canonical:
    """Return 1 - rho and its direction for every kept reference direction."""
    if c.far:
        vectors, rho = svd(other.apply(reference.apply(c.xy).mT).mT)
        distances = torch.ones(reference.rank).to(rho)
        distances[: len(rho)] = 1.0 - rho.clamp(0.0, 1.0)
        return Canonical(distances=distances, directions=vectors, terms=1.0)
    unexplained, terms = _unexplained(c, reference, other)
    values, vectors = eigh(unexplained)
    return Canonical(distances=_from_unexplained(values, other.rank), directions=vectors, terms=terms)


def _distances(c: Covariances, reference: Whitening, other: Whitening) -> tuple[Tensor, float]:
    """Return distances and terms of ``_correlate`` without the directions, which take twice as long."""
    if c.far:
        canonical = _correlate(c, reference, other)
        return canonical.distances, canonical.terms
    unexplained, terms = _unexplained(c, reference, other)
    return _from_unexplained(eigenvalues(unexplained), other.rank), terms


def _unexplained(c: Covariances, reference: Whitening, other: Whitening) -> tuple[Tensor, float]:
    """Return the (r, r) covariance of whitened X that Y does not explain, and the size of its terms.

    With E = Y - X small, 1 - rho^2 are its eigenvalues. It is built from E alone: no 1 - 1 is ever formed.
    Where Y is far from X that form has no advantage and the direct SVD is used.
    """
    f = reference.apply(c.ye.mT).mT  # (d, r) Y^T E A
    z = other.apply(f)
    whole = reference.apply(reference.apply(c.ee).mT)
    unexplained = whole - z.mT @ z
    if isinstance(other, Basis) and other.dropped.shape[1]:
        b = reference.apply(other.scale[:, None] * other.dropped).mT
        q = (other.dropped @ b / other.scale[:, None]).mT @ f
        unexplained += b.mT @ (other.dropped_variance[:, None] * b) - q - q.mT
    return (unexplained + unexplained.mT) / 2, float(whole.trace()) / len(whole)


def _from_unexplained(values: Tensor, rank: int) -> Tensor:
    """Return 1 - rho from ascending eigenvalues 1 - rho^2; ``rank`` directions of Y are left."""
    values = values.clamp(0.0, 1.0)
    values[rank:] = 1.0  # directions that Y has lost
    return values / (1.0 + (1.0 - values).sqrt())
