"""``classify``: what a model says of texts, of lines on stdin, or of a data file."""

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.source_settings import OF_DATA
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.compute.reviews import Reviews
    from bert_mpq.runs.classify import Answer, Answers, TextClassifier
    from bert_mpq.ui.execution import Execution

CHUNK = 256  # texts that are classified together


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="*", help="texts; without any: one a line on stdin")
    parser.add_argument(
        "--model", metavar="FOLDER", required=True, help="a folder of any export format, or as in run"
    )
    for name in ("data", *OF_DATA):
        flags.add_flag(parser, name, RunConfig())


def _run(namespace: argparse.Namespace, execution: "Execution") -> "Answers":
    from bert_mpq.runs.classify import Answers, text_classifier

    data = hasattr(namespace, "data")
    if data and namespace.text:
        raise UsageError("E-CONFIG", "Both texts and --data are given.", "Give one of them.")
    classifier = text_classifier(namespace.model)
    if data:
        reviews = _reviews(flags.config_from(namespace, RunConfig()))
        answers = tuple(_classified(classifier, reviews.texts, execution))
        labels = [int(each.found.label == "positive") for each in answers]
        right = sum(a == b for a, b in zip(labels, reviews.labels, strict=True))
        share = f"accuracy {right / len(answers):.4f}: {right:,} of {len(answers):,} held-out reviews"
        execution.errors.print(share, soft_wrap=True)
        return Answers(model=namespace.model, answers=answers, accuracy=right / len(answers))
    answers = tuple(_classified(classifier, namespace.text or _lines(), execution))
    return Answers(model=namespace.model, answers=answers, accuracy=None)


def _reviews(config: RunConfig) -> "Reviews":
    from bert_mpq.sources.columns import wanted_of
    from bert_mpq.sources.reviews import find_reviews, load_reviews

    return load_reviews(find_reviews(config.data, wanted_of(config)), "evaluation")


def _lines() -> Iterator[str]:
    return (line for line in (line.strip() for line in sys.stdin) if line)


def _classified(
    classifier: "TextClassifier", texts: Iterable[str], execution: "Execution"
) -> "Iterator[Answer]":
    """Classify and print; a person who types gets an answer after every line."""
    from bert_mpq.runs.classify import Answer, classify

    size = 1 if sys.stdin is not None and sys.stdin.isatty() else CHUNK
    rest = iter(texts)
    while chunk := list(itertools.islice(rest, size)):
        for text, found in zip(chunk, classify(classifier, chunk), strict=True):
            start = " ".join(text.split())[:80]
            execution.write(f"{found.label}  {found.probability:.4f}  {start}\n")
            yield Answer(text=text, found=found)
        execution.output.file.flush()


CLASSIFY = Command(
    name="classify",
    help="label texts with a model that was exported, or any that the tool can load",
    add_flags=_add_flags,
    run=_run,
    result="bert_mpq.runs.classify:Answers",
)
