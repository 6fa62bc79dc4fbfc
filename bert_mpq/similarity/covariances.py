"""Centred moments, ready for the metrics."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from bert_mpq.similarity.whitening import Side

NOISE = 64 * torch.finfo(torch.float64).eps  # of a sum over rows, relative to the sum of squares


@dataclass(frozen=True, kw_only=True)
class Covariances:
    """Sums over n centred rows: X reference, Y perturbed, E = Y - X.

    Args:
        samples: n, rows without NaN or infinity.
        bad_rows: rows left out because Y held NaN or infinity.
        reference: X^T X with its decompositions.
        xe: (d, d) X^T E.
        ee: (d, d) E^T E.
        aa: sum of a^2, with a = |x|^2 per row.
        ad: sum of a D, with D = |y|^2 - |x|^2 per row.
        dd: sum of D^2.
        noise: rounding error to expect in the traces of ``xx`` and ``yy``.
        relative_noise: rounding error to expect in ``xx`` and ``ee``, relative to them; a mean far from the
            shift adds to it.
    """

    samples: int
    bad_rows: int
    reference: Side
    xe: Tensor
    ee: Tensor
    aa: float
    ad: float
    dd: float
    noise: tuple[float, float]
    relative_noise: float

    @cached_property
    def perturbed(self) -> Side:
        """Y^T Y with its decompositions."""
        return Side(self.yy)

    def sharing(self, other: "Covariances") -> "Covariances":
        """Return these with the reference of ``other`` where it is the same, to the last bit.

        What has been decomposed need not be decomposed again.
        """
        same = self.xx.equal(other.xx)
        return replace(self, reference=other.reference) if same else self

    @property
    def xx(self) -> Tensor:
        """(d, d) X^T X."""
        return self.reference.covariance

    @property
    def ye(self) -> Tensor:
        """(d, d) Y^T E."""
        return self.xe + self.ee

    @property
    def xy(self) -> Tensor:
        """(d, d) X^T Y."""
        return self.xx + self.xe

    @cached_property
    def yy(self) -> Tensor:
        """(d, d) Y^T Y."""
        return self.xx + self.xe + self.xe.mT + self.ee

    @property
    def far(self) -> bool:
        """Whether Y is so far from X that forms in E = Y - X have no advantage and may cancel."""
        return bool(self.ee.trace() > 0.5 * self.xx.trace())

    @property
    def reference_constant(self) -> bool:
        """Whether every row of X is the same, up to rounding."""
        return bool(self.xx.trace() <= self.noise[0])

    @property
    def collapsed(self) -> bool:
        """Whether every row of Y is the same, up to rounding, though X varies."""
        return float(self.yy.trace()) <= max(1e-12 * float(self.xx.trace()), self.noise[1])

    @property
    def identical(self) -> bool:
        """Whether Y equals X in every row."""
        return not bool(self.ee.any())

    @classmethod
    def from_sums(cls, scalars: Tensor, vectors: Tensor, matrices: Tensor) -> "Covariances":
        """Centre the raw sums of ``Moments``: scalars (8,), vectors (6, d), matrices (3, d, d).

        The fourth-order sums follow by expanding |x - m|^2 with the mean m, which is known only now.
        """
        n, p_sum, t_sum, pp, pt, tt, _, bad_y = scalars.tolist()
        sx, se, px, pe, tx, te = vectors
        sxx, sxe, see = matrices
        m, u = (sx / n, se / n) if n else (sx, se)
        w = m + u
        mm, k0 = m @ m, 2.0 * m @ u + u @ u
        aa = pp - 4 * m @ px + 2 * mm * p_sum + 4 * m @ sxx @ m - 4 * mm * (m @ sx) + n * mm**2
        ad = pt - 2 * w @ pe - 2 * u @ px + k0 * p_sum - 2 * m @ tx + 4 * m @ sxe @ w + 4 * m @ sxx @ u
        ad += -2 * k0 * (m @ sx) + mm * (t_sum - 2 * w @ se - 2 * u @ sx + n * k0)
        dd = tt - 4 * w @ te - 4 * u @ tx + 2 * k0 * t_sum + 4 * w @ see @ w + 8 * u @ sxe @ w
        dd += 4 * u @ sxx @ u - 4 * k0 * (w @ se) - 4 * k0 * (u @ sx) + n * k0**2
        xx = sxx - n * m.outer(m)
        ee = see - n * u.outer(u)
        traces = (sxx.trace(), see.trace(), xx.trace(), ee.trace())
        aa, ad, dd, raw_x, raw_e, own_x, own_e = torch.stack([aa, ad, dd, *traces]).tolist()
        return cls(
            samples=int(n),
            bad_rows=int(bad_y),
            reference=Side((xx + xx.mT) / 2),
            xe=sxe - n * m.outer(u),
            ee=(ee + ee.mT) / 2,
            aa=aa,
            ad=ad,
            dd=dd,
            noise=(NOISE * raw_x, NOISE * (raw_x + raw_e)),
            relative_noise=NOISE * max(_ratio(raw_x, own_x), _ratio(raw_e, own_e)),
        )


def _ratio(raw: float, centred: float) -> float:
    return max(raw / centred, 1.0) if centred > 0.0 else 1.0
