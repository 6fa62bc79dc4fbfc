"""Phase 1 with one process and with several, taking turns: the whole command, and the pass over the reviews.

On a machine that others use, too, the CPU seconds say more than the seconds on the clock.

Run: python tests/benchmarks/processes.py [--processes 2] [--reviews 1000] [--max-length 128] [--rounds 3]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """Seconds of the whole command, of the pass, and of all cores; and the scores."""

    command: float
    one_pass: float
    cores: float
    scores: dict[str, list[float]]


def once(processes: int, reviews: int, max_length: int) -> Run:
    """Run Phase 1 in fresh processes."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"] if processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *launcher, "-m", "bert_mpq", "sensitivity", "--model", "embedded"]
        command += ["--device", "cpu", "--calibration-size", str(reviews), "--max-length", str(max_length)]
        command += ["--metrics", "cka", "--quantizer", "rtn", "--output", folder, "--yes", "--quiet"]
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        (record,) = Path(folder, "Sensitivities").glob("run_*.json")
        content = json.loads(record.read_text())
    (stage,) = [s for s in content["stages"] if s["name"] == "Compare activations"]
    scores = {s["metric"]: [layer["value"] for layer in s["layers"]] for s in content["scores"]}
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(command=seconds, one_pass=stage["seconds"], cores=cores, scores=scores)


def main() -> None:
    """Take turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    counts = (1, arguments.processes)
    taken: dict[int, list[Run]] = {count: [] for count in counts}
    for turn in range(arguments.rounds):
        for count in counts if turn % 2 == 0 else counts[::-1]:
            taken[count].append(once(count, arguments.reviews, arguments.max_length))

    def median(count: int, name: str) -> float:
        return statistics.median(getattr(run, name) for run in taken[count])

    print("| processes | whole command (s) | the pass (s) | CPU seconds, whole command | pass, ratio |")
    print("|---|---|---|---|---|")
    for count in counts:
        figures = [median(count, name) for name in ("command", "one_pass", "cores")]
        ratio = statistics.median(
            run.one_pass / other.one_pass for run, other in zip(taken[count], taken[1], strict=True)
        )
        print(f"| {count} | {' | '.join(f'{figure:.1f}' for figure in figures)} | {ratio:.2f} |")
    first, last = (taken[count][0].scores for count in counts)
    worst = max(abs(a / b - 1) for metric in first for a, b in zip(first[metric], last[metric], strict=True))
    print(f"\nLargest relative difference of a score: {worst:.1e}")


if __name__ == "__main__":
    main()
