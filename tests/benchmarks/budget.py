"""How long the exact plan takes: 72 units x 6 widths, and the whole frontier.

Run: python tests/benchmarks/budget.py
"""

import random
import statistics
import time

from bert_mpq.allocation.knapsack import Options, WidthOption, frontier, optimum

WIDTHS = (2, 3, 4, 6, 8, 16)
SHAPES = ((768, 768), (768, 768), (768, 768), (768, 768), (3072, 768), (768, 3072))  # BERT base, a layer


def problem(seed: int, layers: int) -> tuple[Options, ...]:
    """Every Linear of ``layers`` layers; losses fall as quantization noise does."""
    random.seed(seed)
    return tuple(
        tuple(
            WidthOption(
                bits=bits,
                cost=out * inputs * bits + (out * (inputs // 64) * 16 if bits < 16 else 0),
                loss=random.lognormvariate(0, 1.5) * 4.0**-bits,
            )
            for bits in WIDTHS
        )
        for _ in range(layers)
        for out, inputs in SHAPES
    )


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print Markdown: median and slowest of many budgets."""
    optimum(problem(0, 1), 10**9)  # loads scipy
    print("| units x widths | distinct widths | budgets solved | median s | slowest s |")
    print("|---|---|---|---|---|")
    for layers, max_widths in ((2, None), (6, None), (12, None), (12, 3), (12, 2)):
        times = []
        for seed in range(4):
            units = problem(seed, layers)
            low, high = (sum(unit[k].cost for unit in units) for k in (0, -1))
            for share in (0.05, 0.2, 0.35, 0.5, 0.8):
                budget = int(low + share * (high - low))
                times.append(seconds(lambda u=units, b=budget, k=max_widths: optimum(u, b, k)))
        limit = "any" if max_widths is None else f"at most {max_widths}"
        row = f"| {6 * layers} x {len(WIDTHS)} | {limit} | {len(times)} "
        print(f"{row}| {statistics.median(times):.3f} | {max(times):.3f} |")
    units = problem(0, 12)
    print(f"\nFrontier of 72 x 6, 40 budgets: {seconds(lambda: frontier(units)):.1f} s")


if __name__ == "__main__":
    main()
