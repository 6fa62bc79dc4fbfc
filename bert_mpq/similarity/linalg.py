"""Decompositions that always answer, and that leave the interpreter free for other threads."""

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch

Array = npt.NDArray[np.float64]


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Return eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    Divide and conquer (``syevd``), and the slow QR iteration (``syev``) where that does not converge.
    """
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(matrix, driver="ev")
    return values, vectors


def eigenvalues(matrix: Array) -> Array:
    """Return the eigenvalues of a symmetric matrix, ascending: less than half the work of ``eigh``."""
    try:
        return np.asarray(np.linalg.eigvalsh(matrix))
    except np.linalg.LinAlgError:
        return np.asarray(scipy.linalg.eigh(matrix, driver="ev", eigvals_only=True))


def svd(matrix: Array) -> tuple[Array, Array]:
    """Return left singular vectors, all of them, and singular values; ``gesvd`` where ``gesdd`` fails."""
    try:
        u, s, _ = np.linalg.svd(matrix, full_matrices=True)
    except np.linalg.LinAlgError:
        u, s, _ = scipy.linalg.svd(matrix, full_matrices=True, lapack_driver="gesvd")
    return u, s


def cholesky(matrix: Array) -> Array | None:
    """Return the lower factor of a symmetric matrix; None where it is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(torch.from_numpy(matrix))
    return None if int(info) else np.asarray(factor.numpy())


def solve_lower(factor: Array, right: Array) -> Array:
    """Return L^-1 R for a lower triangular L."""
    answer = torch.linalg.solve_triangular(
        torch.from_numpy(factor), torch.from_numpy(np.ascontiguousarray(right)), upper=False
    )
    return np.asarray(answer.numpy())


def reciprocal_condition(factor: Array, norm: float) -> float:
    """Return an estimate of 1 / (|A|_1 |A^-1|_1) from the lower factor of A and its 1-norm (``pocon``)."""
    estimate, _ = scipy.linalg.lapack.dpocon(factor, norm, uplo="L")
    return float(estimate)
