"""Predicted damage against the damage that stacked streams measure: how well it ranks, and what it costs.

Run: python tests/benchmarks/predicted.py --reviews 200 --max-length 48 --json out.json

Every Linear of the embedded classifier at 2, 3, 4 and 8 bits, on real calibration reviews. All of it is
measured in this one run: a bare forward pass, the prediction, the stacked streams, and the rank correlation
with the KL of the logits. Quantizing the twins, which both need, is left out. The best of ``--rounds`` counts
for the bare pass and the prediction. Ratios are of CPU seconds, which other work on the machine does not
change much; on a GPU read the seconds. Prints Markdown.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.evaluate import evaluate
from bert_mpq.compute.reporting import Lines, one
from bert_mpq.compute.workload import Workload
from bert_mpq.sensitivity.measure import measure
from bert_mpq.sensitivity.one_pass import PASS_TITLE
from bert_mpq.sensitivity.predicted import PREDICTION_TITLE, predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import spearman
from bert_mpq.sources.classifiers import find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample
from tests.benchmarks.provenance import provenance

WIDTHS = (2, 3, 4, 8)
PASSES = ("Bare pass", PREDICTION_TITLE, PASS_TITLE)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One width over all Linears."""

    bits: int
    spearman: float
    log_pearson: float
    ratio_median: float
    ratio_low: float
    ratio_high: float


def row(bits: int, predicted: np.ndarray, true: np.ndarray) -> Row:
    """Return how the predicted KL compares with the measured one."""
    ratio = predicted / true
    return Row(
        bits=bits,
        spearman=spearman(predicted.tolist(), true.tolist()),
        log_pearson=float(np.corrcoef(np.log(predicted), np.log(true))[0, 1]),
        ratio_median=float(np.median(ratio)),
        ratio_low=float(ratio.min()),
        ratio_high=float(ratio.max()),
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a pass over the reviews took."""

    seconds: float
    cpu_seconds: float


class Watch(Lines):
    """Keeps the least cost of every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.costs: dict[str, Cost] = {}

    def track(self, items, title, total, weight=one):
        """Yield ``items``; of a pass that was run before the cheaper one counts."""
        started, cpu = time.perf_counter(), time.process_time()
        yield from super().track(items, title, total, weight)
        cost = Cost(seconds=time.perf_counter() - started, cpu_seconds=time.process_time() - cpu)
        if title in PASSES:
            self.costs[title] = min(cost, self.costs.get(title, cost), key=lambda each: each.cpu_seconds)


def markdown(rows: list[Row], costs: dict[str, Cost], units: int) -> str:
    """Return the tables."""
    bare, stacked = (costs[title].cpu_seconds for title in (PASSES[0], PASSES[-1]))
    lines = [
        f"| {units} Linears | " + " | ".join(f"{each.bits} bits" for each in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        "| Spearman with the measured KL | " + " | ".join(f"{each.spearman:.3f}" for each in rows) + " |",
        "| Pearson of the logarithms | " + " | ".join(f"{each.log_pearson:.3f}" for each in rows) + " |",
        "| predicted / measured, median | " + " | ".join(f"{each.ratio_median:.2f}" for each in rows) + " |",
        "| predicted / measured, range | "
        + " | ".join(f"{each.ratio_low:.2f}-{each.ratio_high:.2f}" for each in rows)
        + " |",
        "",
        "| | seconds | CPU seconds | bare passes | of the stacked streams |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {title} | {cost.seconds:.1f} | {cost.cpu_seconds:.1f} | {cost.cpu_seconds / bare:.1f} "
        f"| 1/{stacked / cost.cpu_seconds:.0f} |"
        for title, cost in costs.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--reviews", type=int, default=200)
    parser.add_argument("--max-length", type=int, default=48)
    parser.add_argument("--quantizer", default="rtn")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    classifier = load_classifier(find_classifier(asked.model))
    reviews = load_reviews(find_reviews("imdb"), "calibration")
    reviews = sample(reviews, asked.reviews, "stratified", 42)
    reporter = Lines()
    work = Workload(
        tokens=tokenize(reviews, classifier.tokenizer, asked.max_length, reporter),
        machine=pick_machine(asked.device),
    )
    probe = Probe(
        scope="propagated",
        pooling="mean",
        bits=WIDTHS,
        quantizer=asked.quantizer,
        group_size=64,
        granularity="linear",
    )
    watch = Watch()
    for _ in range(asked.rounds):
        evaluate(classifier.model, work, watch, "Bare pass")
        predicted = predict(classifier.model, work, probe, watch)
    measurement = measure(classifier, work, probe, watch, blocks=1)
    true = np.array(measurement.kl).reshape(-1, len(WIDTHS))
    losses = predicted.losses("linear")
    rows = [row(bits, losses[:, index], true[:, index]) for index, bits in enumerate(WIDTHS)]
    print(markdown(rows, watch.costs, len(predicted.units)))
    if asked.json:
        content = {
            **provenance(work.machine, classifier.revision),
            "asked": {name: str(value) for name, value in vars(asked).items()},
            "costs": {name: asdict(cost) for name, cost in watch.costs.items()},
            "rows": [asdict(each) for each in rows],
            "units": predicted.units,
            "predicted": losses.tolist(),
            "measured": true.tolist(),
        }
        asked.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
