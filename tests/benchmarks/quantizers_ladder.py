"""What each step of the quantizers gives: GPTQ without any, then one more at a time, then learned rounding.

The last two rows are those of ``rtn-mse``, which has no calibration reviews: without signed scales, and with.

Run: python tests/benchmarks/quantizers_ladder.py --reviews 4000 --json out.json

Prints Markdown. Every row is measured in this one run on the same reviews as the FP32 model. With ``--split
calibration`` these are calibration reviews that no quantizer has seen: there it is decided what stays. They
are the same ones however many reviews the quantizers look at.
"""

import argparse
import contextlib
import functools
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Lines
from bert_mpq.compute.reviews import Reviews
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization import gptq, layerwise, rtn
from bert_mpq.quantization.grid import absmax_scale, encoded
from bert_mpq.quantization.rounding import RoundingRecipe
from bert_mpq.settings.quantizers import FEW_BITS, QUANTIZERS, QuantizerName
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample
from tests.benchmarks.provenance import provenance
from tests.benchmarks.quantizers import HEADINGS, Setup, group_size_of, row, synchronize
from tests.helpers.quantized import quantized_at


def unsigned_scale(groups: Tensor, bits: int, importance: Tensor | None = None) -> Tensor:
    """The clip search without signs, 36 shares from 1 down to 0.3; as ``grid.clipped_scale``."""
    largest = absmax_scale(groups, bits)
    best, lowest = largest, torch.full(largest.shape, torch.inf, device=groups.device)
    for share in torch.linspace(1.0, 0.3, 36).tolist():
        scale = (largest.float() * share).half()
        scale = torch.where(scale > 0, scale, largest)
        error = (encoded(groups, scale, bits) * scale.float()[:, :, None] - groups).square_()
        total = (error if importance is None else error * importance).sum(2)
        better = total < lowest
        best, lowest = torch.where(better, scale, best), torch.where(better, total, lowest)
    return best


WITHOUT = {
    "signed scales": patch.object(rtn, "clipped_scale", unsigned_scale),
    "refit": patch.object(gptq, "refit", lambda start, weight, hessian: start),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the ladder."""

    name: str
    steps: int  # so many of ``WITHOUT`` are on
    quantizer: QuantizerName = "gptq"
    most_bits: int = 8  # where it is no wider

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Leave out the steps that are still to come."""
        with contextlib.ExitStack() as stack:
            for off in list(WITHOUT.values())[self.steps :]:
                stack.enter_context(off)
            yield


LADDER = (
    Step(name="gptq alone", steps=0),
    Step(name="+ signed scales", steps=1),
    Step(name="+ refit", steps=2, most_bits=gptq.REFIT_BITS),
    Step(name="learned", steps=len(WITHOUT), quantizer="learned", most_bits=FEW_BITS),
    Step(name="rtn-mse alone", steps=0, quantizer="rtn-mse"),
    Step(name="+ signed scales", steps=1, quantizer="rtn-mse"),
)


def tokens_of(
    classifier: Classifier, options: argparse.Namespace
) -> tuple[dict[QuantizerName, TokenizedReviews], TokenizedReviews]:
    """Return what each quantizer looks at, as Phase 2 draws it, and reviews to measure on."""

    def tokens(reviews: Reviews) -> TokenizedReviews:
        return tokenize(reviews, classifier.tokenizer, options.max_length, Lines(every=1e9))

    source, size = find_reviews("imdb"), None if options.reviews == "all" else int(options.reviews)
    counts: dict[QuantizerName, int] = {"gptq": options.gptq_reviews, "learned": options.learned_reviews}
    calibration = load_reviews(source, "calibration")
    if options.split == "evaluation":
        test = sample(load_reviews(source, "evaluation"), size, "stratified", 42)
    elif size is None or size + 2 * max(counts.values()) > len(calibration):
        raise SystemExit(f"Of {len(calibration):,} calibration reviews, too few would never be seen.")
    else:  # the draws come from the front of this order
        order = sample(calibration, None, "random", 42)
        test = order.take(range(len(order) - size, len(order)))
    seen = {name: tokens(sample(calibration, count, "stratified", 42)) for name, count in counts.items()}
    return seen, tokens(test)


def arguments_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", help="of the evaluations")
    parser.add_argument("--split", choices=("evaluation", "calibration"), default="evaluation")
    parser.add_argument("--reviews", default="4000", help="reviews to measure on, or all")
    parser.add_argument("--gptq-reviews", type=int, default=128)
    parser.add_argument("--learned-reviews", type=int, default=QUANTIZERS["learned"].reviews)
    parser.add_argument("--learned-steps", type=int, default=RoundingRecipe.steps, help="of a layer")
    parser.add_argument("--learned-batch", type=int, default=RoundingRecipe.batch_size, help="reviews a step")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--bits", default="4,3,2", help="uniform widths")
    parser.add_argument("--group-size", type=group_size_of, default=64, help="or channel")
    parser.add_argument("--steps", help="comma-separated numbers of rows, from 0; default all")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print the table, and write the JSON."""
    options = arguments_of()
    reporter = Lines(every=1e9)
    classifier = load_classifier(find_classifier(options.model))
    machine = pick_machine(options.device, options.precision)
    seen, test = tokens_of(classifier, options)
    work = Workload(tokens=test, machine=machine)
    calibrations = {name: Workload(tokens=tokens, machine=machine) for name, tokens in seen.items()}
    recipe = functools.partial(RoundingRecipe, steps=options.learned_steps, batch_size=options.learned_batch)
    before = evaluate(classifier.model, work, reporter, "Evaluate FP32")
    report = {
        **provenance(machine, classifier.revision),
        "settings": {name: str(value) for name, value in vars(options).items() if name != "json"},
        "accuracy": before.accuracy.accuracy,
        "rows": [],
    }
    print(
        f"{classifier.source.name}, {len(test):,} {options.split} reviews, max length {options.max_length},"
        f" quantized on {options.gptq_reviews:,} calibration reviews (learned rounding:"
        f" {options.learned_reviews:,}, {options.learned_steps} steps of {options.learned_batch}),"
        f" group size {options.group_size or 'channel'},"
        f" {report['device']}, torch {torch.__version__}; FP32 accuracy {before.accuracy.accuracy:.4f}.\n"
    )
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|", flush=True)
    places = [int(place) for place in options.steps.split(",")] if options.steps else range(len(LADDER))
    widths = [int(text) for text in options.bits.split(",")]
    for width, step in ((width, LADDER[place]) for width in widths for place in places):
        if width > step.most_bits:  # the tool does neither at more bits
            continue
        bits = (width,) * classifier.source.layers
        setup = Setup(bits=bits, quantizer=step.quantizer, group_size=options.group_size)
        synchronize(machine)
        started = time.perf_counter()
        with step.active(), patch.object(layerwise, "RoundingRecipe", recipe):
            calibration = calibrations.get(step.quantizer)
            quantized = quantized_at(
                classifier.model, bits, step.quantizer, options.group_size, calibration=calibration
            )
        synchronize(machine)
        seconds = time.perf_counter() - started
        after = evaluate(quantized.model, work, reporter, "")
        line = row(setup, quantized, seconds, before, after, test.labels, step.name)
        print(line.markdown, flush=True)
        report["rows"].append(asdict(line))
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
