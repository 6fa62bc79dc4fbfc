"""Our metrics against the peers' on the same activations, in one run.

Run: pip install -e '.[peers]' && python tests/benchmarks/similarity.py

Every row is a process of its own that loads the activations (float32, correlated features of condition 1e4,
a mean, and Y = X + noise), so that its peak memory is its own. Seconds are the best of five runs, or the one
run above ten seconds. A peer whose process takes longer than --limit is stopped and not tried at larger
sizes; one whose n x n matrices would not fit is not tried. The error is that of 1 - s against the textbook
route on stored float64 activations (QR, SVD); ours sees one batch at a time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH = 1024
REPEATS, SHORT = 5, 10.0  # the best of so many, where one takes less than so many seconds
SIZES = [(n, d) for d in (128, 384, 768) for n in (5_000, 10_000, 25_000)]
LARGEST_GRAM = 10_000  # rows: at 25,000 one float64 n x n matrix takes 5 GB


def activations(rows: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X and Y, (rows, dim) float32."""
    rng = np.random.default_rng(0)
    spread = np.geomspace(1.0, 1e-2, dim)
    x = rng.normal(size=(rows, dim)) * spread @ np.linalg.qr(rng.normal(size=(dim, dim)))[0] + 1.0
    y = x + 0.1 * rng.normal(size=(rows, dim)) * spread.mean()
    return x.astype(np.float32), y.astype(np.float32)


def ours(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """All four metrics from one pass over batches."""
    from bert_mpq.similarity import cka
    from bert_mpq.similarity.cca import pwcca, svcca
    from bert_mpq.similarity.cka import debiased_cka
    from bert_mpq.similarity.moments import Moments

    moments = Moments(x.shape[1])
    for start in range(0, len(x), BATCH):
        moments.update(x[start : start + BATCH], y[start : start + BATCH])
    covariances = moments.covariances()
    return {metric.__name__: metric(covariances).distance for metric in (cka, debiased_cka, svcca, pwcca)}


def ckatorch_gram(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Debiased CKA from n x n Gram matrices."""
    import torch
    from ckatorch import cka_base

    sides = (torch.from_numpy(side).double() for side in (x, y))
    return {"debiased_cka": 1 - float(cka_base(*sides, kernel="linear", unbiased=True))}


def ckatorch_batches(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Debiased CKA, mean over mini-batches of 256 rows."""
    import torch
    from ckatorch import cka_batch

    rows = len(x) // 256 * 256
    sides = (torch.from_numpy(side[:rows]).double().reshape(-1, 256, side.shape[1]) for side in (x, y))
    return {"debiased_cka": 1 - float(cka_batch(*sides))}


def torch_cka(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Debiased CKA over mini-batches of 256 rows, in float32, by hooks on modules."""
    import torch
    from torch_cka import CKA

    def model(side: int) -> torch.nn.Module:
        class Column(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.out = torch.nn.Identity()

            def forward(self, pair: torch.Tensor) -> torch.Tensor:
                return self.out(pair[:, side])

        return Column()

    pairs = torch.from_numpy(np.stack([x, y], 1))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(pairs), batch_size=256, drop_last=True
    )
    peer = CKA(model(0), model(1), model1_layers=["out"], model2_layers=["out"], device="cpu")
    peer.compare(loader, loader)
    return {"debiased_cka": 1 - float(peer.export()["CKA"][0, 0])}


def sklearn_cca(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The 20 leading canonical correlations by NIPALS."""
    from sklearn.cross_decomposition import CCA

    u, v = CCA(n_components=20, max_iter=2000).fit_transform(x.astype(float), y.astype(float))
    return {"cca_20": 1 - float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(u.T, v.T, strict=True)]))}


def reference(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Every value by the textbook route on stored float64 activations."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.helpers import reference as textbook

    x, y = (side.astype(float) - side.astype(float).mean(0) for side in (x, y))
    n = len(x)
    norms = [(side**2).sum(1) for side in (x, y)]

    def inner(a: int, b: int, debiased: bool) -> float:
        first, second = (x, y)[a], (x, y)[b]
        whole = float(((first.T @ second) ** 2).sum())
        if not debiased:
            return whole
        traces = norms[a].sum() * norms[b].sum() / ((n - 1) * (n - 2))
        return float(whole - n / (n - 2) * (norms[a] @ norms[b]) + traces)

    def cka(debiased: bool) -> float:
        xx, xy, yy = (inner(a, b, debiased) for a, b in ((0, 0), (0, 1), (1, 1)))
        return 1 - xy / np.sqrt(xx * yy)

    rho = np.linalg.svd(np.linalg.qr(x)[0].T @ np.linalg.qr(y)[0], compute_uv=False)
    return {
        "cka": cka(False),
        "debiased_cka": cka(True),
        "svcca": float(textbook.svcca(x, y)),
        "pwcca": float(textbook.pwcca(x, y)),
        "cca_20": float(1 - rho[:20].mean()),
    }


WAYS = {
    way.__name__: way for way in (ours, ckatorch_gram, ckatorch_batches, torch_cka, sklearn_cca, reference)
}
TITLES = {
    "ours": "bert-mpq, all four",
    "ckatorch_gram": "ckatorch, debiased CKA, n x n",
    "ckatorch_batches": "ckatorch, debiased CKA, batches",
    "torch_cka": "torch_cka, debiased CKA, batches",
    "sklearn_cca": "sklearn CCA, 20 components",
}


def one(name: str, file: str) -> None:
    """Run one way in this process; print seconds, peak bytes above the activations, and the values."""
    arrays = np.load(file)
    x, y = arrays["x"], arrays["y"]
    import torch  # noqa: F401  # its libraries are no part of a peer's memory

    small = x[:2048, :32].copy(), y[:2048, :32].copy()
    if name != "reference":
        WAYS[name](*small)  # libraries loaded, threads started
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, times = float("inf"), 0
    while times < REPEATS and (not times or seconds < SHORT):
        started = time.perf_counter()
        values = WAYS[name](x, y)
        seconds = min(seconds, time.perf_counter() - started)
        times += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    plain = {key: float(value) for key, value in values.items()}
    print("RESULT", json.dumps([seconds, peak * 1024, plain]))


def measured(name: str, file: str, limit: float) -> tuple[float, int, dict[str, float]] | None:
    """Run one way in a process of its own; None when it takes too long."""
    words = [sys.executable, __file__, "--one", name, file]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=True)
    except subprocess.TimeoutExpired:
        return None
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    seconds, peak, values = json.loads(line.removeprefix("RESULT "))
    return seconds, peak, values


def table(limit: float, sizes: list[tuple[int, int]]) -> None:
    """Print a row per size and way."""
    print("| n x d | what | seconds | x ours | peak MiB | relative error of 1 - s |")
    print("|---|---|---|---|---|---|", flush=True)
    slow: list[tuple[str, int, int]] = []
    for rows, dim in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "activations.npz")
            x, y = activations(rows, dim)
            np.savez(file, x=x, y=y)
            del x, y
            exact = measured("reference", file, 600)
            base = None
            for name, title in TITLES.items():
                start = f"| {rows // 1000}k x {dim} | {title} |"
                if name == "ckatorch_gram" and rows > LARGEST_GRAM:
                    print(
                        f"{start} not run: n x n matrices of {8 * rows**2 / 2**30:.1f} GiB | | | |",
                        flush=True,
                    )
                    continue
                if any(name == other and rows >= n and dim >= d for other, n, d in slow):
                    print(f"{start} over {limit:.0f} at a smaller size | | | |", flush=True)
                    continue
                result = measured(name, file, limit)
                if result is None:
                    slow.append((name, rows, dim))
                    print(f"{start} over {limit:.0f}, stopped | | | |", flush=True)
                    continue
                seconds, peak, values = result
                base = base or seconds
                true = exact[2] if exact else values
                error = max(abs(value - true[key]) / true[key] for key, value in values.items())
                ratio, megabytes = seconds / base, peak / 2**20
                print(f"{start} {seconds:.2f} | {ratio:.1f} | {megabytes:.0f} | {error:.0e} |", flush=True)


def goals() -> None:
    """Print the accumulation rate, the state's size and the time to finalise 12 layers, at d = 768."""
    import torch

    from bert_mpq.compute.reporting import Silent
    from bert_mpq.sensitivity.accumulation import BLOCKS, Accumulation
    from bert_mpq.sensitivity.estimates import estimate
    from bert_mpq.similarity.moments import Moments

    dim, layers, rows = 768, 12, 4096
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, dim, generator=generator)
    y = x + 0.1 * torch.randn(rows, dim, generator=generator)
    moments = Moments(dim)
    moments.update(x, y)
    state = moments.nbytes
    wide = x.double()
    wide.T @ wide
    rates = []
    for work, flops in (
        (lambda: wide.T @ wide, 2 * rows * dim**2),
        (lambda: moments.update(x, y), 6 * rows * dim**2),
    ):
        best = min(_seconds(work) for _ in range(7))
        rates.append(flops / best / 1e9)
    print(f"\nAccumulation at d = 768, {rows} rows a batch: {rates[1]:.0f} GFLOP/s,", end=" ")
    print(f"{rates[1] / rates[0]:.0%} of the {rates[0]:.0f} GFLOP/s of one float64 matrix product.")
    later, seen = moments.nbytes / 1e6, moments.samples
    print(f"State: {state / 1e6:.1f} MB a layer after {rows} rows, {later:.1f} MB after {seen}.")
    sums = Accumulation(dim, layers, rows, BLOCKS)
    for part in sums.parts():
        noise = torch.randn(len(part), layers, dim, generator=generator)
        sums.add(part, x[part, None], x[part, None] + 0.1 * noise, torch.zeros(len(part), layers).double())
    metrics = ("pwcca", "svcca", "cka", "debiased_cka")
    for replicates in (False, True):
        took = _seconds(lambda replicates=replicates: estimate(sums.so_far(), metrics, Silent(), replicates))
        what = f"with {BLOCKS} jackknife replicates" if replicates else "all four metrics"
        print(f"Finalising 12 layers, {what}: {took:.1f} s on {torch.get_num_threads()} threads.", flush=True)


def _seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the Markdown table and the goals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=float, default=120, help="seconds a peer may take")
    parser.add_argument("--sizes", default="all", help="all, none, or n x d as 5000x128,10000x384")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    chosen = SIZES if arguments.sizes == "all" else []
    if arguments.sizes not in ("all", "none"):
        chosen = [tuple(map(int, size.split("x"))) for size in arguments.sizes.split(",")]
    if chosen:
        table(arguments.limit, chosen)
    goals()


if __name__ == "__main__":
    main()
