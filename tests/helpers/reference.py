"""The metrics as their papers define them, on stored activations: slow, and independent of bert_mpq.

The float64 functions take the textbook route (SVD of the centred rows, n x n Gram matrices) and form 1 - s at
the end, so they are good to 1e-13 or so for moderate distances only. The ``exact_`` functions work with 60
digits and are good at any distance.
"""

from itertools import permutations

import mpmath
import numpy as np

mpmath.mp.dps = 60


def pwcca(x, y):
    """Morcos et al. 2018, section 2.2; a direction that Y has lost counts with rho = 0."""
    x = x - x.mean(0)
    q = _orthonormal(x)
    u, rho, _ = np.linalg.svd(q.T @ _orthonormal(y - y.mean(0)))
    rho = np.pad(rho, (0, q.shape[1] - len(rho)))
    alpha = np.abs((q @ u).T @ x).sum(1)
    return 1 - alpha @ rho / alpha.sum()


def svcca(x, y, variance=0.99, top_k=None):
    """Raghu et al. 2017, section 2: the mean correlation of the leading singular directions."""
    x, y = (_leading(side - side.mean(0), variance, top_k) for side in (x, y))
    return 1 - np.linalg.svd(x.T @ y, compute_uv=False).mean()


def cka(x, y):
    """Kornblith et al. 2019, equation 4 with HSIC_0 and a linear kernel."""
    a, b = (_centred_gram(side) for side in (x, y))
    return 1 - (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def debiased_cka(x, y, hsic=None):
    """Kornblith et al. 2019, equation 4 with HSIC_1."""
    hsic = hsic or hsic_1
    a, b = x @ x.T, y @ y.T
    return 1 - hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def hsic_1(a, b):
    """Song et al. 2012, equation 5."""
    n = len(a)
    a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    total = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * a.sum(0) @ b.sum(1) / (n - 2)
    return total / (n * (n - 3))


def hsic_u_statistic(a, b):
    """Song et al. 2012, equation 4: the mean over all ordered quadruples of distinct rows."""
    terms = [a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]) for i, j, q, r in permutations(range(len(a)), 4)]
    return np.mean(terms)


def exact_pwcca(x, y):
    """PWCCA with 60 digits; both sides of full rank."""
    x, y = _exact_centred(x), _exact_centred(y)
    distances, directions, root = _exact_canonical(x, y)
    products = directions.T * root.T  # <h_i, x_j>, with X^T X = root root^T and h = X root^-T u
    alpha = [mpmath.fsum(abs(v) for v in products[i, :]) for i in range(products.rows)]
    return mpmath.fdot(alpha, distances) / mpmath.fsum(alpha)


def exact_svcca(x, y, top_k):
    """SVCCA of ``top_k`` directions with 60 digits."""
    x, y = (_exact_leading(_exact_centred(side), top_k) for side in (x, y))
    distances, _, _ = _exact_canonical(x, y)
    return mpmath.fsum(distances) / top_k


def exact_cka(x, y):
    """Biased linear CKA with 60 digits, from the Gram matrices."""
    x, y = _exact_centred(x), _exact_centred(y)
    return _exact_alignment(_exact_gram(x), _exact_gram(y), lambda a, b: (a * b).sum())


def exact_debiased_cka(x, y):
    """Debiased linear CKA with 60 digits, from the Gram matrices."""
    return _exact_alignment(_exact_gram(_exact_centred(x)), _exact_gram(_exact_centred(y)), hsic_1)


def _orthonormal(side):
    u, s, _ = np.linalg.svd(side, full_matrices=False)
    return u[:, s > 1e-6 * s[0]]


def _leading(side, variance, top_k):
    u, s, _ = np.linalg.svd(side, full_matrices=False)
    share = np.cumsum(s**2) / (s**2).sum()
    return u[:, : top_k or 1 + int((share < variance - 1e-12).sum())]


def _centred_gram(side):
    side = side - side.mean(0)
    return side @ side.T


def _exact_centred(side):
    rows = np.vectorize(mpmath.mpf, otypes=[object])(np.asarray(side, np.float64))
    return rows - rows.sum(0) / len(rows)


def _exact_gram(side):
    return side @ side.T


def _exact_alignment(a, b, inner):
    return 1 - inner(a, b) / mpmath.sqrt(inner(a, a) * inner(b, b))


def _exact_leading(side, top_k):
    _, vectors = mpmath.eigsy(mpmath.matrix((side.T @ side).tolist()))  # ascending
    return side @ np.array(vectors.tolist(), object)[:, -top_k:]


def _exact_canonical(x, y):
    """1 - rho, most correlated first, the directions in whitened coordinates, and the root that whitens."""
    xx, xy, yy = (mpmath.matrix((a.T @ b).tolist()) for a, b in ((x, x), (x, y), (y, y)))
    root = mpmath.cholesky(xx)
    whitened = root**-1 * xy
    explained = whitened * yy**-1 * whitened.T
    values, vectors = mpmath.eigsy((explained + explained.T) / 2)
    order = sorted(range(len(values)), key=lambda i: -values[i])
    directions = mpmath.matrix(vectors.rows, vectors.cols)
    for to, start in enumerate(order):
        directions[:, to] = vectors[:, start]
    return [1 - mpmath.sqrt(values[i]) for i in order], directions, root
