"""Decompositions of float64 matrices that always answer, where the matrix is, and leave other threads free.

On the host numpy's LAPACK decomposes: torch's takes half as long again there.
"""

import contextlib

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from torch import Tensor

Host = npt.NDArray[np.float64]


def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return (d,) eigenvalues, ascending, and (d, d) eigenvectors as columns of a symmetric matrix."""
    if matrix.is_cuda:
        with contextlib.suppress(RuntimeError):  # it does not converge, or has no memory
            values, vectors = torch.linalg.eigh(matrix)
            return values, vectors
    values, vectors = map(torch.from_numpy, _eigh(matrix.cpu().numpy()))
    return values.to(matrix.device), vectors.to(matrix.device)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Return the eigenvalues of a symmetric matrix, ascending: half the work of ``eigh`` on the host."""
    with contextlib.suppress(RuntimeError, np.linalg.LinAlgError):
        values: Tensor
        if matrix.is_cuda:
            values = torch.linalg.eigvalsh(matrix)
        else:
            values = torch.from_numpy(np.linalg.eigvalsh(matrix.numpy()))
        return values
    return eigh(matrix)[0]


def _eigh(matrix: Host) -> tuple[Host, Host]:
    """Divide and conquer (``syevd``), and the slow QR iteration (``syev``) where that does not converge."""
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(matrix, driver="ev")
    return values, vectors


def svd(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return left singular vectors, all of them, and singular values; ``gesvd`` where ``gesdd`` fails.

    On the host: only scores of layers that are far off need it.
    """
    here = matrix.cpu().numpy()
    try:
        u, s, _ = np.linalg.svd(here, full_matrices=True)
    except np.linalg.LinAlgError:
        u, s, _ = scipy.linalg.svd(here, full_matrices=True, lapack_driver="gesvd")
    return torch.from_numpy(u).to(matrix.device), torch.from_numpy(s).to(matrix.device)


def finish(device: torch.device) -> None:
    """Wait for what this thread has asked of a GPU: other threads have other streams, which would not."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def cholesky(matrix: Tensor) -> Tensor | None:
    """Return the lower factor of a symmetric matrix; None where it is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return None if int(info) else factor


def solve_lower(factor: Tensor, right: Tensor) -> Tensor:
    """Return L^-1 R for a lower triangular L."""
    answer: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return answer


def reciprocal_condition(factor: Tensor, norm: float) -> float:
    """Return an estimate of 1 / (|A|_1 |A^-1|_1) from the lower factor of A and its 1-norm (``pocon``)."""
    estimate, _ = scipy.linalg.lapack.dpocon(factor.cpu().numpy(), norm, uplo="L")
    return float(estimate)
