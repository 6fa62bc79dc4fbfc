"""Plans per layer, per Linear with query, key and value tied, and per Linear alone, at equal size.

Run: python tests/benchmarks/linear_plans.py --json out.json

Prints Markdown. Losses are predicted on calibration reviews; the three kinds of plans are refined on 256 of
them, each with ``--passes`` measured plans more than the coarser one. Then every plan is quantized as Phase 2
does it and set against FP32 on held-out reviews, which have no part in any choice. Bits include scales.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from bert_mpq import RunConfig
from bert_mpq.allocation.budget import Budget, make_budget
from bert_mpq.allocation.refinement import Search
from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.reporting import Lines, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.width_scores import WidthScores
from bert_mpq.runs.plan import REFINE_REVIEWS
from bert_mpq.sensitivity.plan_models import PlanModels
from bert_mpq.sensitivity.predicted import PredictedDamage, predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.twins import Twins
from bert_mpq.sensitivity.widths import predicted_tables
from bert_mpq.settings.quantizers import needs_calibration
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample
from tests.benchmarks.provenance import provenance

WIDTHS = (2, 3, 4, 8)
GPTQ_REVIEWS = 128
KINDS = {  # name -> granularity, tie
    "one width a layer": ("layer", True),
    "q, k, v tied": ("linear", True),
    "every Linear": ("linear", False),
}
ENOUGH = 0.20  # by so much less KL a plan per Linear has to have at few bits
FEW = ("2.5", "2.75")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A plan of one size.

    Args:
        predicted: sum of the losses of its units.
        optimum: KL of the optimum of the prediction on the calibration reviews that refine.
        calibration: KL of the plan there.
        held_out: KL on held-out reviews, quantized as Phase 2 does it.
        difference: that of the plan per layer from it, paired; below 0 = less.
        error: standard error of the difference.
    """

    size: str
    kind: str
    bits: tuple[int, ...]
    bits_per_weight: float
    predicted: float
    optimum: float
    calibration: float
    held_out: float
    difference: float
    error: float
    agreement: float

    @property
    def markdown(self) -> str:
        """A row of the table."""
        against = f"{self.difference:+.5f} ± {self.error:.5f}" if self.error else ""
        return (
            f"| {self.size} | {self.kind} | {self.bits_per_weight:.3f} | {self.optimum:.5f} |"
            f" {self.calibration:.5f} | {self.held_out:.5f} | {against} | {self.agreement:.2%} |"
        )


HEADINGS = (
    "bits asked",
    "plan",
    "bits taken",
    "calibration KL of the predicted optimum",
    "of the refined plan",
    "held-out KL",
    "against one width a layer",
    "same prediction",
)


class Benchmark:
    """The classifier, its reviews, and what was predicted."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.reporter = Lines(every=1e9)
        self.machine = pick_machine(arguments.device, arguments.precision)
        self.passes: int = arguments.passes
        self.classifier: Classifier = load_classifier(find_classifier(arguments.model))
        self.model = self.classifier.model
        length = arguments.max_length
        self.calibration = self._work("calibration", arguments.calibration_size, length)
        self.refining = self._work("calibration", min(REFINE_REVIEWS, arguments.calibration_size), length)
        self.held_out = self._work("evaluation", arguments.eval_size, length)
        self.config = RunConfig(
            clustering="budget",
            target="3bits",
            score="predicted",
            probe_bits=WIDTHS,
            quantizer=arguments.quantizer,
        )
        learns = needs_calibration(self.config.quantizer, WIDTHS)
        self.gptq = self._work("calibration", GPTQ_REVIEWS, length) if learns else None
        started = time.perf_counter()
        damage = predict(self.model, self.calibration, Probe.of(self.config), self.reporter, self.gptq)
        self.seconds = {"predict": time.perf_counter() - started}
        self.scores = self._scores(damage)
        started = time.perf_counter()
        probe = Probe.of(self.config, bits=(*WIDTHS, 16))
        self.models = PlanModels(Twins.of(self.model, probe, self.gptq, self.reporter))
        self.seconds["twins"] = time.perf_counter() - started
        self.before = {"calibration": self._logits(self.refining), "held-out": self._logits(self.held_out)}
        self.kl: dict[tuple[int, ...], float] = {}
        self.measuring = 0.0
        self.after: dict[tuple[int, ...], Evaluation] = {}

    def _work(self, split: str, size: int, length: int) -> Workload:
        chosen = sample(load_reviews(find_reviews("imdb"), split), size, "stratified", 42)
        tokens = tokenize(chosen, self.classifier.tokenizer, length, Silent())
        return Workload(tokens=tokens, machine=self.machine)

    def _logits(self, work: Workload) -> Evaluation:
        return evaluate(self.model, work, self.reporter, "FP32")

    def _scores(self, damage: PredictedDamage) -> WidthScores:
        return WidthScores(
            config=self.config,
            model_name=self.classifier.source.name,
            split="calibration half",
            reviews=len(self.calibration.tokens),
            outline=outline_of(self.model),
            widths=WIDTHS,
            tables=predicted_tables(damage),
            linears=predicted_tables(damage, "linear"),
        )

    def measure(self, plan: Mapping[str, int]) -> float:
        """Return the KL of a plan, made of the probes' twins, on the reviews that refine."""
        key = tuple(plan.values())
        if key not in self.kl:
            started = time.perf_counter()
            after = evaluate(self.models.of(plan), self.refining, Silent(), "")
            self.kl[key] = after.divergence(self.before["calibration"])
            self.measuring += time.perf_counter() - started
        return self.kl[key]

    def rows(self, size: str) -> list[Row]:
        """Return the plans of one size."""
        rows, first = [], np.empty(0)
        for number, (kind, (granularity, tie)) in enumerate(KINDS.items(), 1):
            config = self.config.replace(target=f"{size}bits", granularity=granularity, tie=tie)
            budget = make_budget(config, self.scores)
            search = Search(budget, self.passes * number)
            for _ in search.run(self.measure):
                pass
            after = self._quantized(search.best)
            divergence = self._divergence(after)
            first = divergence if number == 1 else first
            difference = divergence - first
            rows.append(self._row(size, kind, search, budget, after, difference))
            print(rows[-1].markdown, flush=True)
        return rows

    def _row(
        self,
        size: str,
        kind: str,
        search: Search,
        budget: Budget,
        after: Evaluation,
        difference: np.ndarray,
    ) -> Row:
        assignment = budget.assignment(search.best)
        return Row(
            size=size,
            kind=kind,
            bits=tuple(search.best.values()),
            bits_per_weight=budget.sizes(assignment.bits).bits_per_weight,
            predicted=assignment.loss,
            optimum=search.measured[search.optimum],
            calibration=min(search.measured.values()),
            held_out=after.divergence(self.before["held-out"]),
            difference=float(difference.mean()),
            error=float(difference.std(ddof=1) / len(difference) ** 0.5),
            agreement=after.agreement(self.before["held-out"]),
        )

    def _quantized(self, plan: Mapping[str, int]) -> Evaluation:
        key = tuple(plan.values())
        if key not in self.after:
            quantized = quantized_copy(self.model, plan, Scheme.of(self.config), self.gptq)
            self.after[key] = evaluate(quantized.model, self.held_out, Silent(), "")
        return self.after[key]

    def _divergence(self, after: Evaluation) -> np.ndarray:
        sides = (torch.from_numpy(each.logits) for each in (self.before["held-out"], after))
        return np.asarray(kl_of_logits(*sides))


def bars(rows: list[Row]) -> dict[str, bool]:
    """Return which bars hold, for both kinds of plans per Linear."""
    held: dict[str, bool] = {}
    for size in dict.fromkeys(row.size for row in rows):
        by_kind = {row.kind: row for row in rows if row.size == size}
        layer, *finer = (by_kind[kind] for kind in KINDS)
        for row in finer:
            name = f"{size} bits, {row.kind}"
            held[f"{name}: not worse on calibration reviews"] = row.calibration <= layer.calibration
            held[f"{name}: held out within one standard error"] = row.difference <= row.error
            if size in FEW:
                less = row.held_out <= (1 - ENOUGH) * layer.held_out
                held[f"{name}: at least 20 % less held out"] = less
    return held


def main() -> None:
    """Print Markdown, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--calibration-size", type=int, default=512)
    parser.add_argument("--eval-size", type=int, default=2000)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--quantizer", default="auto")
    parser.add_argument("--sizes", default="2.5,2.75,3,3.5,4.5", help="bits per weight, scales included")
    parser.add_argument("--passes", type=int, default=8, help="measured plans for each kind of plan")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    started = time.perf_counter()
    benchmark = Benchmark(arguments)
    print(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}")
    rows = [row for size in arguments.sizes.split(",") for row in benchmark.rows(size)]
    held = bars(rows)
    print("\n" + "\n".join(f"{'holds' if holds else 'FAILS'}: {name}" for name, holds in held.items()))
    seconds = {
        **benchmark.seconds,
        "one measured plan": benchmark.measuring / len(benchmark.kl),
        "total": time.perf_counter() - started,
    }
    print({name: round(value, 2) for name, value in seconds.items()})
    if arguments.json:
        content = {
            "benchmark": "linear_plans",
            **provenance(benchmark.machine, benchmark.classifier.revision),
            "settings": {key: value for key, value in vars(arguments).items() if key != "json"},
            "seconds": seconds,
            "bars": held,
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
