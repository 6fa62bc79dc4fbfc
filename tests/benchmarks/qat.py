"""Quantization-aware training against post-training quantization, on real held-out reviews.

Run: python tests/benchmarks/qat.py --device auto --reviews all --epochs 1 --json out.json
Short: python tests/benchmarks/qat.py --reviews 1000 --qat-reviews 1500 --max-length 96 --calibration 800

Prints Markdown: for every allocation the FP32 model, the model after post-training quantization (auto: GPTQ
below 8 bits) and after training, on the same held-out reviews, with the standard error of the paired
difference in accuracy; then the learning curves on the validation slice. Training, validation, GPTQ and the
scores behind the mixed allocation use the calibration split only. Several learning rates or weights of the
hidden-state loss give a row each: choose between them by the validation KL, never by the held-out columns.
"""

import argparse
import dataclasses
import itertools
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from quantizers import sensitivities, synchronize, tokens_of

from bert_mpq import __version__
from bert_mpq.allocation.clustering import allocate
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.hardware import processor
from bert_mpq.compute.reporting import Lines
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.training.loop import Training
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.records.training import TrainingReport
from bert_mpq.settings.bits import parse_bits
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from tests.helpers.quantized import quantized_at

HEADINGS = (
    "bits",
    "model",
    "validation KL",
    "KL",
    "same prediction",
    "accuracy",
    "change (pp)",
    "seconds",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table; everything but ``validation_kl`` is on held-out reviews."""

    bits: str
    model: str
    validation_kl: float | None
    kl: float
    agreement: float
    accuracy: float
    change: float
    change_error: float
    seconds: float

    @property
    def markdown(self) -> str:
        """The row of the table."""
        validation = "" if self.validation_kl is None else f"{self.validation_kl:.5f}"
        return (
            f"| {self.bits} | {self.model} | {validation} | {self.kl:.5f} | {self.agreement:.2%} |"
            f" {self.accuracy:.4f} | {100 * self.change:+.2f} ± {100 * self.change_error:.2f} |"
            f" {self.seconds:.1f} |"
        )


def row(bits: str, model: str, validation_kl: float | None, before: Evaluation, after: Evaluation,
        labels: object, seconds: float) -> Row:  # fmt: skip
    """Compare two evaluations of the same reviews."""
    difference = (after.predictions == labels).astype(float) - (before.predictions == labels)
    return Row(
        bits=bits,
        model=model,
        validation_kl=validation_kl,
        kl=after.divergence(before),
        agreement=float((before.predictions == after.predictions).mean()),
        accuracy=after.accuracy.accuracy,
        change=float(difference.mean()),
        change_error=float(difference.std(ddof=1) / len(difference) ** 0.5),
        seconds=seconds,
    )


def curve(title: str, report: TrainingReport) -> str:
    """Return a learning curve as Markdown."""
    lines = [
        f"\n{title}: {report.training_reviews:,} training and {report.validation_reviews:,} validation"
        f" reviews, {report.steps:,} of {report.planned_steps:,} steps, best at step {report.best_step:,}\n",
        "| step | training loss | validation KL | same prediction | accuracy |",
        "|---|---|---|---|---|",
    ]
    for point in report.curve:
        loss = "" if point.loss is None else f"{point.loss:.4f}"
        lines.append(
            f"| {point.step:,} | {loss} | {point.kl:.5f} | {point.agreement:.2%} | {point.accuracy:.4f} |"
        )
    return "\n".join(lines)


def arguments_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--reviews", default="2000", help="held-out reviews, or all")
    parser.add_argument("--qat-reviews", default="all", help="reviews to train and validate on, or all")
    parser.add_argument("--calibration", default="2000", help="reviews that score the layers, or all")
    parser.add_argument("--gptq-reviews", type=int, default=128)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--bits", default="8,4,2;2", help="one width for all, or bits per k-means group")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rates", default=str(Recipe().learning_rate))
    parser.add_argument("--hidden-weights", default=str(Recipe().hidden_weight))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print the table and the curves, and write the JSON."""
    options = arguments_of()
    reporter = Lines()
    classifier = load_classifier(find_classifier(options.model))
    machine = pick_machine(options.device, options.precision)
    length = options.max_length
    held_out, training, scoring = (
        None if text == "all" else int(text)
        for text in (options.reviews, options.qat_reviews, options.calibration)
    )
    test = tokens_of(classifier, "evaluation", held_out, length)
    sample = tokens_of(classifier, "calibration", training, length)
    gptq = tokens_of(classifier, "calibration", options.gptq_reviews, length)
    calibration = Workload(tokens=gptq, machine=machine)
    allocations = [parse_bits(text) for text in options.bits.split(";")]
    scores = (1.0,) * classifier.source.layers
    if any(len(bits) > 1 for bits in allocations):
        scored = tokens_of(classifier, "calibration", scoring, length)
        scores = sensitivities(classifier, Workload(tokens=scored, machine=machine), calibration, reporter)
    work = Workload(tokens=test, machine=machine)
    before = evaluate(classifier.model, work, reporter, "Evaluate FP32")
    cuda = machine.device.type == "cuda"
    report = {
        "version": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if cuda else processor(),
        "precision": machine.precision,
        "model": classifier.source.name,
        "reviews": len(test),
        "qat_reviews": len(sample),
        "max_length": length,
        "epochs": options.epochs,
        "accuracy": before.accuracy.accuracy,
        "scores": scores,
        "rows": [],
        "trainings": [],
    }
    print(
        f"{report['model']}, {len(test):,} held-out reviews, max length {length}, {report['device']}"
        f" ({machine.precision}), torch {torch.__version__}; FP32 accuracy {before.accuracy.accuracy:.4f}.\n"
    )
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|", flush=True)
    curves = []

    def add(line: Row) -> None:
        print(line.markdown, flush=True)
        report["rows"].append(asdict(line))
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")

    for group_bits in allocations:
        name = ", ".join(map(str, group_bits))
        bits = group_bits * classifier.source.layers
        if len(group_bits) > 1:
            bits = allocate(scores, group_bits, "kmeans").bits
        synchronize(machine)
        started = time.perf_counter()
        ptq = quantized_at(classifier.model, bits, "auto", 64, calibration=calibration)
        synchronize(machine)
        seconds = time.perf_counter() - started
        after = evaluate(ptq.model, work, reporter, f"{name} PTQ")
        add(row(name, "PTQ", None, before, after, test.labels, seconds))
        for rate, hidden in itertools.product(
            map(float, options.learning_rates.split(",")), map(float, options.hidden_weights.split(","))
        ):
            recipe = dataclasses.replace(
                Recipe(), epochs=options.epochs, learning_rate=rate, hidden_weight=hidden
            )
            trained = Training(classifier.model, ptq, Workload(tokens=sample, machine=machine), recipe).run(
                reporter
            )
            after = evaluate(trained.quantized.model, work, reporter, f"{name} QAT")
            title = f"QAT, learning rate {rate:g}, hidden weight {hidden:g}"
            best = min(point.kl for point in trained.report.curve)
            curves.append(curve(f"{name}, {title}", trained.report))
            report["trainings"].append({"bits": name, "layers": bits, **asdict(trained.report)})
            add(row(name, title, best, before, after, test.labels, trained.report.seconds))
    print("\n".join(curves))


if __name__ == "__main__":
    main()
