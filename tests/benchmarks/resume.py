"""What checkpoints and resuming cost: a pass that is stopped half way and resumed, against one that is not.

Run: python tests/benchmarks/resume.py [--reviews 1000] [--max-length 128] [--every 10]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch

from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.checkpoints import Checkpoint, Checkpoints
from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample

PROBE = Probe(scope="propagated", pooling="mean", bits=(4,), quantizer="rtn", group_size=64)


class Stop(Silent):
    """Ctrl-C once a share of the tokens is done."""

    def __init__(self, share: float) -> None:
        self._share = share

    def track(self, items: Any, title: str, total: int, weight: Any = None) -> Iterator[Any]:
        """Yield ``items``; raises KeyboardInterrupt at the share."""
        done = 0
        for item in items:
            yield item
            done += weight(item) if weight is not None else 0
            if title == "Compare activations" and done > self._share * total:
                raise KeyboardInterrupt


class Stopwatch:
    """Adds up the time spent in writing and restoring."""

    def __init__(self) -> None:
        self.seconds, self.calls, self.bytes = {"write": 0.0, "restore": 0.0}, {"write": 0, "restore": 0}, 0
        for name in self.seconds:
            self._watch(name, getattr(Checkpoint, name))

    def _watch(self, name: str, method: Any) -> None:
        def timed(checkpoint: Checkpoint, *arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(checkpoint, *arguments)
            finally:
                self.seconds[name] += time.perf_counter() - started
                self.calls[name] += 1
                if checkpoint.path.exists():
                    self.bytes = checkpoint.path.stat().st_size

        setattr(Checkpoint, name, timed)


def one_pass(
    classifier: Classifier, tokens: TokenizedReviews, folder: str, every: float, reporter: Silent
) -> Measurement:
    """Run the pass with checkpoints in ``folder``."""
    machine = pick_machine("cpu")
    with Checkpoints(folder, "Sensitivities", every, reporter) as checkpoints:
        return measure(
            classifier, Workload(tokens=tokens, machine=machine), PROBE, reporter, checkpoints=checkpoints
        )


def main() -> None:
    """Compare the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=1000)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--every", type=float, default=10.0)
    arguments = parser.parse_args()
    classifier = load_classifier(find_classifier("embedded"))
    reviews = sample(load_reviews(find_reviews("imdb"), "calibration"), arguments.reviews, "stratified", 42)
    tokens = tokenize(reviews, classifier.tokenizer, arguments.max_length, Silent())
    with tempfile.TemporaryDirectory() as folder:
        whole = one_pass(classifier, tokens, folder, 1e9, Silent())
        watch = Stopwatch()
        try:
            one_pass(classifier, tokens, folder, arguments.every, Stop(0.6))
        except KeyboardInterrupt:
            resumed = one_pass(classifier, tokens, folder, arguments.every, Silent())
    equal = all(
        torch.equal(mine.sums.state_dict()[name], tensor)
        for mine, theirs in zip(chain(*resumed.sums.blocks), chain(*whole.sums.blocks), strict=True)
        for name, tensor in theirs.sums.state_dict().items()
    )
    seconds = whole.stages[-1].seconds
    print("| | count | seconds | share of the pass |\n|---|---|---|---|")
    print(f"| pass, never stopped | 1 | {seconds:.1f} | |")
    for name in ("write", "restore"):
        spent = watch.seconds[name]
        print(f"| {name} | {watch.calls[name]} | {spent:.2f} | {spent / seconds:.2%} |")
    print(f"\nCheckpoint: {watch.bytes / 2**20:.0f} MiB. Sums equal to the last bit: {equal}.")


if __name__ == "__main__":
    main()
