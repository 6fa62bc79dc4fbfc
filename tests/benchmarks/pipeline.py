"""Reviews per second of both phases, against the bare model and the script this tool replaces.

Run: python tests/benchmarks/pipeline.py [--models embedded,bert-base] [--reviews 256] [--repeats 3]

Everything is measured in turn, ``--repeats`` times, and the median counts: a machine that slows down
meanwhile slows all of it down. Prints Markdown.
"""

import argparse
import dataclasses
import statistics

import numpy as np
import torch
from throughput import Row, measured, random_bert_base, repeated, speedups, table, works

from bert_mpq.compute.batches import TokenizedReviews, tokenize
from bert_mpq.compute.devices import Machine, pick_machine
from bert_mpq.compute.reporting import Silent
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier
from bert_mpq.sources.reviews import find_reviews, load_reviews
from bert_mpq.sources.sampling import sample


def rows(
    classifier: Classifier, tokens: TokenizedReviews, machine: Machine, part: int, repeats: int
) -> list[Row]:
    """Return the median of ``repeats`` measurements of everything; the first round is a warm-up."""
    few = tokens.take(np.arange(min(part, len(tokens))))
    todo = works(classifier, machine, 16, ("isolated", "propagated"))
    for work in todo:
        work.run(few)
    rounds = [
        [measured(work, classifier, few if work.slow else tokens, machine) for work in todo]
        for _ in range(repeats)
    ]
    return [
        dataclasses.replace(
            one[0],
            seconds=statistics.median(row.seconds for row in one),
            teraflops=statistics.median(row.teraflops for row in one),
        )
        for one in zip(*rounds, strict=True)
    ]


def main() -> None:
    """Print a pair of tables for every model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="embedded,bert-base", help="comma-separated")
    parser.add_argument("--reviews", type=int, default=256)
    parser.add_argument("--part", type=int, default=16, help="reviews for the replaced script's way")
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    embedded = load_classifier(find_classifier("embedded"))
    machine = pick_machine(arguments.device)
    reviews = load_reviews(find_reviews("imdb"), "calibration")
    reviews = repeated(
        sample(reviews, min(arguments.reviews, len(reviews)), "random", seed=0), arguments.reviews
    )
    tokens = tokenize(reviews, embedded.tokenizer, arguments.max_length, Silent())
    for name in arguments.models.split(","):
        classifier = embedded if name == "embedded" else random_bert_base(embedded.tokenizer)
        measurements = rows(classifier, tokens, machine, arguments.part, arguments.repeats)
        print(
            f"{name}, max length {arguments.max_length}, {machine.device.type},"
            f" {torch.get_num_threads()} threads, torch {torch.__version__}\n"
        )
        print(table(measurements), speedups(measurements), sep="\n\n", end="\n\n", flush=True)


if __name__ == "__main__":
    main()
