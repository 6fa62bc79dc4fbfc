"""Quantizers x bit widths x embeddings on a classifier and real held-out reviews: what each costs and saves.

Run: python tests/benchmarks/quantizers.py --reviews all --device auto --json out.json

Prints Markdown. Every row is measured in this one run on the same reviews as the FP32 model: KL(FP32 ||
quantized) of the logits, share of equal predictions, accuracy and its change with the standard error of the
paired difference, bits per encoder weight with scales, size of the whole model, seconds to quantize. All
layers have the same bits; ``bert-mpq run`` measures mixes. GPTQ's reviews come from the calibration split;
nothing here may be tuned on the held-out reviews.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.reporting import Lines
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.quantizers import QuantizerName, needs_calibration, quantizers_for
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample
from tests.benchmarks.provenance import provenance
from tests.helpers.quantized import quantized_at


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A quantizer with its group size, at one width, and the precision of the embeddings."""

    bits: tuple[int, ...]  # of every layer, all the same
    quantizer: QuantizerName
    group_size: int | None
    embeddings: EmbeddingPrecision = "fp32"

    @property
    def text(self) -> str:
        """The quantizer in words."""
        used = quantizers_for(self.quantizer, self.bits, self.group_size)
        texts = ", ".join(dict.fromkeys(entry.text for entry in used))
        return f"auto ({texts})" if self.quantizer == "auto" else texts


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    bits: str
    quantizer: str
    embeddings: str
    kl: float
    agreement: float
    accuracy: float
    change: float
    change_error: float
    bits_per_weight: float
    whole_ratio: float
    seconds: float

    @property
    def markdown(self) -> str:
        """The row of the table."""
        return (
            f"| {self.bits} | {self.quantizer} | {self.embeddings} | {self.kl:.6f} | {self.agreement:.2%} |"
            f" {self.accuracy:.4f} | {100 * self.change:+.2f} ± {100 * self.change_error:.2f} |"
            f" {self.bits_per_weight:.2f} | {self.whole_ratio:.2f}x | {self.seconds:.1f} |"
        )


HEADINGS = (
    "bits",
    "quantizer",
    "embeddings",
    "KL",
    "same prediction",
    "accuracy",
    "change (pp)",
    "bits per weight",
    "whole model",
    "seconds",
)


def row(
    setup: Setup,
    quantized: QuantizedModel,
    seconds: float,
    before: Evaluation,
    after: Evaluation,
    labels: np.ndarray,
    words: str = "",
) -> Row:
    """Compare two evaluations of the same reviews; ``words`` stand in for those of the quantizer."""
    difference = (after.predictions == labels).astype(float) - (before.predictions == labels)
    return Row(
        bits=str(setup.bits[0]),
        quantizer=words or setup.text,
        embeddings=setup.embeddings,
        kl=after.divergence(before),
        agreement=float((before.predictions == after.predictions).mean()),
        accuracy=after.accuracy.accuracy,
        change=float(difference.mean()),
        change_error=float(difference.std(ddof=1) / len(labels) ** 0.5),
        bits_per_weight=quantized.sizes.bits_per_weight,
        whole_ratio=quantized.sizes.whole_ratio,
        seconds=seconds,
    )


def group_size_of(text: str) -> int | None:
    """Return the group size that a word means; None = the whole channel."""
    return None if text == "channel" else int(text)


def setups(
    quantizers: Sequence[str],
    widths: Sequence[int],
    embeddings: Sequence[EmbeddingPrecision],
    layers: int,
) -> list[Setup]:
    """Return what to measure; a quantizer that means the same as one before it is left out."""
    found: dict[tuple[object, ...], Setup] = {}
    for width in widths:
        bits = (width,) * layers
        for word in quantizers:
            quantizer, _, size = word.partition(":")
            group_size = group_size_of(size or "64")
            for tables in embeddings:
                setup = Setup(bits=bits, quantizer=quantizer, group_size=group_size, embeddings=tables)
                found.setdefault((width, quantizers_for(quantizer, bits, group_size), tables), setup)
    return list(found.values())


def synchronize(machine: Machine) -> None:
    """Wait for the GPU, so that seconds are real."""
    if machine.device.type == "cuda":
        torch.cuda.synchronize()


def tokens_of(classifier: Classifier, split: str, size: int | None, length: int) -> TokenizedReviews:
    """Return a stratified sample of a split, seed 42."""
    reviews = sample(load_reviews(find_reviews("imdb"), split), size, "stratified", 42)
    return tokenize(reviews, classifier.tokenizer, length, Lines(every=1e9))


def arguments_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--reviews", default="2000", help="held-out reviews, or all")
    parser.add_argument("--gptq-reviews", type=int, default=128)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--bits", default="8,4,3,2", help="uniform widths")
    parser.add_argument(
        "--quantizers",
        default="per-tensor,rtn:channel,rtn,rtn-mse,gptq:channel,gptq:32,gptq:128,auto",
        help="comma-separated, the group size after a colon (default 64)",
    )
    parser.add_argument("--embeddings", default="fp32", help="comma-separated: fp32, fp16, int8, int4")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print the table, and write the JSON."""
    options = arguments_of()
    reporter = Lines()
    classifier = load_classifier(find_classifier(options.model))
    machine = pick_machine(options.device, options.precision)
    held_out = None if options.reviews == "all" else int(options.reviews)
    test = tokens_of(classifier, "evaluation", held_out, options.max_length)
    gptq = tokens_of(classifier, "calibration", options.gptq_reviews, options.max_length)
    calibration = Workload(tokens=gptq, machine=machine)
    work = Workload(tokens=test, machine=machine)
    before = evaluate(classifier.model, work, reporter, "Evaluate FP32")
    widths = [int(width) for width in options.bits.split(",")]
    embeddings = options.embeddings.split(",")
    todo = setups(options.quantizers.split(","), widths, embeddings, classifier.source.layers)
    report = {
        **provenance(machine, classifier.revision),
        "model": classifier.source.name,
        "reviews": len(test),
        "gptq_reviews": len(gptq),
        "max_length": options.max_length,
        "accuracy": before.accuracy.accuracy,
        "rows": [],
    }
    print(
        f"{report['model']}, {len(test):,} held-out reviews, max length {options.max_length}, GPTQ on"
        f" {len(gptq):,} calibration reviews, {report['device']}, torch {torch.__version__};"
        f" FP32 accuracy {before.accuracy.accuracy:.4f}.\n"
    )
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|", flush=True)
    for setup in todo:
        needed = calibration if needs_calibration(setup.quantizer, setup.bits) else None
        synchronize(machine)
        started = time.perf_counter()
        quantized = quantized_at(
            classifier.model, setup.bits, setup.quantizer, setup.group_size, needed, setup.embeddings
        )
        synchronize(machine)
        seconds = time.perf_counter() - started
        after = evaluate(quantized.model, work, reporter, f"{setup.bits[0]} {setup.text} {setup.embeddings}")
        line = row(setup, quantized, seconds, before, after, test.labels)
        print(line.markdown, flush=True)
        report["rows"].append(asdict(line))
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
