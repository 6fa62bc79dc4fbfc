"""Second moments of a Linear's calibration inputs, and the Cholesky factor that GPTQ walks along."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

DAMPING = 0.01


@dataclass(frozen=True, kw_only=True, eq=False)
class Hessian:
    """H = sum of x x^T over input vectors x: half the Hessian of the squared output error of a Linear.

    Linears that read the same inputs (query, key and value) share one object, so that it is factored once.

    Args:
        matrix: (in, in) float64, symmetric, positive semidefinite.
    """

    matrix: Tensor

    @property
    def importance(self) -> Tensor:
        """(in,) float32 second moments of the single inputs: what an error of their weights counts."""
        return self.matrix.diagonal().float()

    def error(self, difference: Tensor) -> Tensor:
        """Return (out,) float64: dw H dw^T of every row of ``difference``, the output error it causes.

        Args:
            difference: (out, in) change of the weight.
        """
        wide = difference.to(self.matrix)
        return ((wide @ self.matrix) * wide).sum(1)

    @cached_property
    def damped(self) -> Tensor:
        """(in, in) float64: H with 1 % of its mean diagonal added; the reviews seen are not all there are."""
        diagonal = self.matrix.diagonal()
        return self.matrix + torch.diag(torch.full_like(diagonal, DAMPING * float(diagonal.mean())))

    @cached_property
    def factor(self) -> tuple[Tensor, Tensor]:
        """The order of the columns, and the upper Cholesky factor U of H^-1 in that order (H^-1 = U^T U).

        Columns go in falling order of their diagonal (act-order), so that the inputs that matter most are
        rounded while all the others can still make up for it. 1 % of the mean diagonal is added, ten times
        more whenever H is still not positive definite. Frantar et al. 2022, section 3.3.

        Returns:
            order (in,) int64; U (in, in) float32.

        Raises:
            ValueError: the inputs held NaN or infinity.
        """
        if not torch.isfinite(self.matrix).all():
            raise ValueError("its calibration inputs hold NaN or infinite values")
        order = torch.argsort(self.matrix.diagonal(), descending=True, stable=True)
        permuted = self.matrix[order][:, order]
        mean = permuted.diagonal().mean()
        unit = torch.eye(len(order), dtype=permuted.dtype, device=permuted.device)
        # An input that was never active has a zero row: damped, its weights are rounded to nearest.
        unit *= mean if mean > 0 else 1.0
        damping = DAMPING
        while True:
            # Of the reversed matrix: its lower factor, reversed again, is an upper R with H = R R^T, so that
            # U = R^-1. One factorization instead of two, and H itself is never inverted.
            lower, failed = torch.linalg.cholesky_ex((permuted + damping * unit).flip(0, 1))
            if not failed:
                upper = lower.flip(0, 1).float()
                return order, torch.linalg.solve_triangular(
                    upper, torch.eye(len(order)).to(upper), upper=True
                )
            damping *= 10
