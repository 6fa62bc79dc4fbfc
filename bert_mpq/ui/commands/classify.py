"""``classify``: what a model says of texts, of lines on stdin, or of a data file."""

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bert_mpq.settings import flags
from bert_mpq.settings.config import OF_DATA, RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.ui.commands.command import Command

if TYPE_CHECKING:
    from bert_mpq.compute.reviews import Reviews
    from bert_mpq.runs.classify import Classification, TextClassifier
    from bert_mpq.ui.execution import Execution

CHUNK = 256  # texts that are classified together


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="*", help="texts; without any: one a line on stdin")
    parser.add_argument(
        "--model", metavar="FOLDER", required=True, help="a folder of any export format, or as in run"
    )
    for name in ("data", *OF_DATA):
        flags.add_flag(parser, name, RunConfig())
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _run(namespace: argparse.Namespace, execution: "Execution") -> None:
    from bert_mpq.runs.classify import text_classifier

    data = hasattr(namespace, "data")
    if data and namespace.text:
        raise UsageError("E-CONFIG", "Both texts and --data are given.", "Give one of them.")
    classifier = text_classifier(namespace.model)
    if data:
        reviews = _reviews(flags.config_from(namespace, RunConfig()))
        found = list(_classified(classifier, reviews.texts, namespace.json))
        labels = [int(each.label == "positive") for each in found]
        right = sum(a == b for a, b in zip(labels, reviews.labels, strict=True))
        share = f"accuracy {right / len(found):.4f}: {right:,} of {len(found):,} held-out reviews"
        execution.errors.print(share, soft_wrap=True)
        return
    for _ in _classified(classifier, namespace.text or _lines(), namespace.json):
        pass


def _reviews(config: RunConfig) -> "Reviews":
    from bert_mpq.sources.columns import wanted_of
    from bert_mpq.sources.reviews import find_reviews, load_reviews

    return load_reviews(find_reviews(config.data, wanted_of(config)), "evaluation")


def _lines() -> Iterator[str]:
    return (line for line in (line.strip() for line in sys.stdin) if line)


def _classified(
    classifier: "TextClassifier", texts: Iterable[str], as_json: bool
) -> Iterator["Classification"]:
    """Classify and print; a person who types gets an answer after every line."""
    from bert_mpq.runs.classify import classify

    size = 1 if sys.stdin is not None and sys.stdin.isatty() else CHUNK
    rest = iter(texts)
    while chunk := list(itertools.islice(rest, size)):
        for text, found in zip(chunk, classify(classifier, chunk), strict=True):
            print(_json(text, found) if as_json else _line(text, found), flush=size == 1)
            yield found


def _line(text: str, found: "Classification") -> str:
    return f"{found.label}  {found.probability:.4f}  {' '.join(text.split())[:80]}"


def _json(text: str, found: "Classification") -> str:
    return json.dumps({"text": text, **dataclasses.asdict(found)})


CLASSIFY = Command(
    name="classify",
    help="label texts with a model that was exported, or any that the tool can load",
    add_flags=_add_flags,
    run=_run,
)
