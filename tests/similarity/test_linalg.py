"""Decompositions that always answer: also where the fast routine does not converge."""

import numpy as np
import pytest
import torch

from bert_mpq.similarity import linalg

generator = torch.Generator().manual_seed(0)
ROWS = torch.randn(40, 6, generator=generator, dtype=torch.float64)
SYMMETRIC = ROWS.mT @ ROWS


@pytest.fixture(params=[False, True], ids=["converges", "does not converge"])
def routines(request, monkeypatch):
    """NumPy's own, or ones that give up, as LAPACK's divide and conquer may."""

    def give_up(*_, **__):
        raise np.linalg.LinAlgError("did not converge")

    for name in ("eigh", "eigvalsh", "svd") if request.param else ():
        monkeypatch.setattr(np.linalg, name, give_up)


@pytest.mark.usefixtures("routines")
def test_eigenvectors_rebuild_the_matrix():
    values, vectors = linalg.eigh(SYMMETRIC)
    assert (values.diff() >= 0).all()
    torch.testing.assert_close(vectors * values @ vectors.mT, SYMMETRIC)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(6, dtype=torch.float64))


@pytest.mark.usefixtures("routines")
def test_eigenvalues_are_those_of_the_roots_of_the_gram_matrix():
    torch.testing.assert_close(linalg.eigenvalues(SYMMETRIC), torch.linalg.svdvals(ROWS).square().flip(0))


@pytest.mark.usefixtures("routines")
def test_singular_vectors_are_a_whole_basis():
    vectors, values = linalg.svd(ROWS)
    assert vectors.shape == (40, 40)
    torch.testing.assert_close(vectors @ vectors.mT, torch.eye(40, dtype=torch.float64))
    torch.testing.assert_close(vectors[:, :6].mT @ ROWS @ ROWS.mT @ vectors[:, :6], values.square().diag())


def test_a_matrix_that_is_not_positive_definite_has_no_factor():
    assert linalg.cholesky(SYMMETRIC - 1e3 * torch.eye(6, dtype=torch.float64)) is None
    factor = linalg.cholesky(SYMMETRIC)
    torch.testing.assert_close(factor @ factor.mT, SYMMETRIC)
    torch.testing.assert_close(linalg.solve_lower(factor, factor), torch.eye(6, dtype=torch.float64))
