"""Full-size figures on one GPU: both phases, FP32, TF32 and bf16, beside what the card can do.

Run: python tests/benchmarks/gpu.py --json out.json [--models bert-base] [--precisions tf32] [--limit 420]

BERT-base (random weights) over 25,000 reviews cut to 512 tokens, and the embedded classifier over its
calibration half cut to 256. A measurement that would not end within ``--limit`` seconds takes a part of the
reviews, and its row says how many. Also: the card's matmul ceiling, the numerical floor of the scores, and
the scores of the CPU beside those of the GPU. Prints Markdown; the JSON is written after every measurement.
"""

import argparse
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from throughput import (
    METRICS,
    SCORING,
    Row,
    Work,
    commit,
    measured,
    random_bert_base,
    repeated,
    speedups,
    table,
    works,
)

from bert_mpq import __version__
from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import score
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews

PRECISIONS = ("tf32", "bf16", "fp32")  # the slowest last: a limit then cuts that one only
PART = 1_024  # reviews for the replaced script's way
BARE_PART = 4_096  # reviews for the bare pass in FP32 at full size


class Report:
    """The JSON file, whole after every measurement."""

    def __init__(
        self, path: Path | None, limit: float, commit: str, precisions: list[str], scopes: list[str]
    ) -> None:
        self.path = path
        self.precisions = precisions
        self.scopes = scopes
        self.end = time.perf_counter() + limit
        self.content: dict[str, Any] = {
            "version": __version__,
            "commit": commit,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "transformers": transformers.__version__,
            "platform": platform.platform(),
            "device": torch.cuda.get_device_name(),
        }

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.end - time.perf_counter()

    def put(self, key: str, value: Any) -> None:
        """Set an entry and write the file."""
        self.content[key] = value
        if self.path:
            self.path.write_text(json.dumps(self.content, indent=2) + "\n")


def ceiling(machine: Machine, size: int = 8192) -> float:
    """Return the card's measured matmul rate in TFLOP/s, in the machine's precision."""
    kind = torch.bfloat16 if machine.precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=machine.device, dtype=kind) for _ in range(2))
    with machine.working():
        a @ b
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(5):
            a @ b
        torch.cuda.synchronize()
    return 5 * 2 * size**3 / (time.perf_counter() - started) / 1e12


def throughput(
    name: str, classifier: Classifier, tokens: TokenizedReviews, report: Report, sizes: dict[str, int]
) -> list[Row]:
    """Measure every phase in every precision of the report, and report as it goes."""
    rows: list[Row] = []
    for precision in report.precisions:
        machine = pick_machine("cuda", precision)
        bare_seconds = 0.0  # per review
        for work in works(classifier, machine, 64, report.scopes):
            if work.slow and precision != "fp32":
                continue
            size = sizes.get(work.what if precision == "fp32" else "", len(tokens))
            size = affordable(work, min(size, PART) if work.slow else size, bare_seconds, report)
            few = tokens.take(np.linspace(0, len(tokens) - 1, min(64, size)).astype(int))
            if not rows or rows[-1].precision != precision or work.slow:
                work.run(few)  # a warm-up: libraries, kernels, memory
            part = (
                tokens.take(np.linspace(0, len(tokens) - 1, size).astype(int))
                if size < len(tokens)
                else tokens
            )
            row = measured(work, classifier, part, machine)
            rows.append(row)
            bare_seconds = bare_seconds or row.seconds / row.reviews
            print(f"{name}: {row.what}, {precision}: {row.seconds:.2f} s, {row.rate:.0f}/s", flush=True)
            report.put(name, [{**asdict(row), "reviews_per_second": row.rate} for row in rows])
    return rows


def affordable(work: Work, size: int, bare_seconds: float, report: Report) -> int:
    """Return how many of ``size`` reviews fit in the time that is left, as the bare pass lets expect."""
    expected = 1.2 * bare_seconds * max(work.passes, 0.01)
    return size if not expected else int(max(256, min(size, (report.left - 20) / expected)))


def pipeline_seconds(rows: list[Row], reviews: int) -> list[dict[str, Any]]:
    """Return the seconds of Phase 1 with three metrics, quantization and two evaluations, by precision."""
    found = []
    for precision in PRECISIONS:
        by_name = {row.what: row for row in rows if row.precision == precision}
        evaluation = by_name.get("Phase 2, one evaluation")
        quantization = next((row for what, row in by_name.items() if what.startswith("quantize")), None)
        scoring = by_name.get(SCORING)
        for scope in ("isolated", "propagated"):
            phase_1 = by_name.get(f"Phase 1, {scope}")
            if not (evaluation and quantization and scoring and phase_1):
                continue
            first = reviews / phase_1.rate + scoring.seconds
            second = 2 * reviews / evaluation.rate
            found.append(
                {
                    "precision": precision,
                    "scope": scope,
                    "phase_1": first,
                    "two_evaluations": second,
                    "whole": first + quantization.seconds + second,
                    "measured_in_full": phase_1.reviews == evaluation.reviews == reviews,
                }
            )
    return found


def scores(
    classifier: Classifier, tokens: TokenizedReviews, machine: Machine, bits: int
) -> dict[str, list[float]]:
    """Return every metric's scores, and the KL, with probes of ``bits``."""
    probe = Probe(scope="propagated", pooling="mean", bits=(bits,), quantizer="rtn", group_size=64)
    result = measure(classifier, Workload(tokens=tokens, machine=machine), probe, Silent())
    found = {entry.metric: list(entry.values) for entry in score(result, METRICS, Silent()).scores}
    return {**found, "kl": list(result.kl)}


def agreement(classifier: Classifier, tokens: TokenizedReviews, report: Report) -> None:
    """Compare CPU and GPU, precisions, and FP32 with itself in batches of another shape (32-bit probes)."""
    found = {
        "cpu_fp32": scores(classifier, tokens, pick_machine("cpu"), 4),
        **{f"cuda_{p}": scores(classifier, tokens, pick_machine("cuda", p), 4) for p in PRECISIONS},
        "floor_cuda_fp32": scores(classifier, tokens, pick_machine("cuda"), 32),
        "floor_cpu_fp32": scores(classifier, tokens, pick_machine("cpu"), 32),
    }
    report.put("scores", {"reviews": len(tokens), **found})
    print(f"\nScores of {len(tokens):,} reviews, 4-bit probes; largest relative difference to the CPU's.\n")
    print("| metric | " + " | ".join(name for name in found if name != "cpu_fp32") + " |")
    print("|---" * len(found) + "|")
    for metric, reference in found["cpu_fp32"].items():
        cells = []
        for name, values in found.items():
            if name.startswith("floor"):
                cells.append(f"at most {max(map(abs, values[metric])):.1e}")
            elif name != "cpu_fp32":
                relative = np.abs(np.array(values[metric]) / np.array(reference) - 1).max()
                cells.append(f"{relative:.1e}")
        print(f"| {metric} | " + " | ".join(cells) + " |")


def small(embedded: Classifier, calibration: Reviews, report: Report) -> None:
    """Measure the embedded classifier on every calibration review."""
    few = tokenize(calibration.take(list(range(1_024))), embedded.tokenizer, 128, Silent())
    agreement(embedded, few, report)
    tokens = tokenize(calibration, embedded.tokenizer, 256, Silent())
    show("embedded classifier, max length 256", throughput("embedded", embedded, tokens, report, {}))


def large(tokenizer: object, calibration: Reviews, size: int, report: Report) -> None:
    """Measure BERT-base on ``size`` reviews, and print what a whole run takes."""
    started = time.perf_counter()
    tokens = tokenize(repeated(calibration, size), tokenizer, 512, Silent())
    report.put("tokenize_seconds", time.perf_counter() - started)
    rows = throughput(
        "bert_base", random_bert_base(tokenizer), tokens, report, {"bare forward pass": BARE_PART}
    )
    whole = pipeline_seconds(rows, len(tokens))
    report.put("pipeline", whole)
    show("BERT-base, max length 512", rows)
    print("\n| BERT-base | precision | Phase 1 (s) | two evaluations (s) | whole (s) | in full |")
    print("|---|---|---|---|---|---|")
    for entry in whole:
        print(
            f"| {entry['scope']} | {entry['precision']} | {entry['phase_1']:.1f} |"
            f" {entry['two_evaluations']:.1f} | {entry['whole']:.1f} | {entry['measured_in_full']} |"
        )


def show(title: str, rows: list[Row]) -> None:
    """Print a model's tables."""
    print(f"\n{title}\n", table(rows), "", speedups(rows), sep="\n", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="embedded,bert-base", help="comma-separated")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), help="comma-separated")
    parser.add_argument("--scopes", default="isolated,propagated", help="of Phase 1, comma-separated")
    parser.add_argument("--reviews", type=int, default=25_000, help="of BERT-base")
    parser.add_argument("--limit", type=float, default=420.0, help="seconds")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--commit", default=commit(), help="for a copy without its history")
    arguments = parser.parse_args()
    precisions, scopes = arguments.precisions.split(","), arguments.scopes.split(",")
    report = Report(arguments.json, arguments.limit, arguments.commit, precisions, scopes)
    embedded = load_classifier(find_classifier("embedded"))
    calibration = load_reviews(find_reviews("imdb"), "calibration")
    for precision in report.precisions:
        machine = pick_machine("cuda", precision)
        report.put(f"matmul_{precision}", ceiling(machine))
        print(f"matmul ceiling, {precision}: {report.content[f'matmul_{precision}']:.0f} TFLOP/s", flush=True)
    models = arguments.models.split(",")
    if "embedded" in models:
        small(embedded, calibration, report)
    if "bert-base" in models:
        large(embedded.tokenizer, calibration, arguments.reviews, report)
    report.put("peak_gpu_bytes", torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    main()
