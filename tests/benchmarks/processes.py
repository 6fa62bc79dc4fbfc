"""Phase 1 with one process and with several, taking turns: the whole command, and the pass over the reviews.

Run: python tests/benchmarks/processes.py [--processes 2] [--reviews 1000] [--max-length 128] [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def once(processes: int, reviews: int, max_length: int) -> tuple[float, float, dict[str, float]]:
    """Run Phase 1 in fresh processes; return seconds of the command and of the pass, and the scores."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"] if processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *launcher, "-m", "bert_mpq", "sensitivity", "--model", "embedded"]
        command += ["--device", "cpu", "--calibration-size", str(reviews), "--max-length", str(max_length)]
        command += ["--metrics", "pwcca,cka", "--output", folder, "--yes", "--quiet"]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - started
        (record,) = Path(folder, "Sensitivities").glob("run_*.json")
        content = json.loads(record.read_text())
    (stage,) = [s for s in content["stages"] if s["name"] == "Compare activations"]
    scores = {s["metric"]: [layer["value"] for layer in s["layers"]] for s in content["scores"]}
    return seconds, stage["seconds"], scores


def main() -> None:
    """Take turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    counts = (1, arguments.processes)
    taken: dict[int, list[tuple[float, float, dict[str, float]]]] = {count: [] for count in counts}
    for turn in range(arguments.rounds):
        for count in counts if turn % 2 == 0 else counts[::-1]:
            taken[count].append(once(count, arguments.reviews, arguments.max_length))
    print("| processes | whole command (s) | the pass (s) | pass, ratio |\n|---|---|---|---|")
    passes = {count: statistics.median(run[1] for run in taken[count]) for count in counts}
    for count in counts:
        whole = statistics.median(run[0] for run in taken[count])
        print(f"| {count} | {whole:.1f} | {passes[count]:.1f} | {passes[count] / passes[1]:.2f} |")
    first, last = (taken[count][0][2] for count in counts)
    worst = max(abs(a / b - 1) for metric in first for a, b in zip(first[metric], last[metric], strict=True))
    print(f"\nLargest relative difference of a score: {worst:.1e}")


if __name__ == "__main__":
    main()
