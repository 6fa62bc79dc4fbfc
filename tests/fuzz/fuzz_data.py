"""The readers of the user's own data, and valid files of every kind to start from."""

import csv
import json
import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.reviews import find_reviews
from tests.fuzz.fuzz_mutations import Source, broken_bytes, broken_json
from tests.helpers.data_forms import Form, write

MARK = "the plot thickens, slowly"  # of every review: it must never stand in a sentence
ROWS = [(f'"{number}": {MARK}; <br />é', number % 2) for number in range(8)]
FORMS = {
    "separated values": Form(names=("review", "sentiment"), words=("negative", "positive")),
    "tabs without quotation marks": Form(container="tsv", separator="\t", quoting=csv.QUOTE_NONE),
    "packed values": Form(container="csv.gz", separator=";", encoding="utf-8-sig"),
    "list of objects": Form(container="json"),
    "objects by line": Form(container="jsonl", words=(False, True)),
    "Parquet": Form(container="parquet", class_label=True, words=("neg", "pos")),
    "Arrow stream": Form(container="arrow", class_label=True, words=("neg", "pos")),
    "Arrow file": Form(container="feather"),
    "archive": Form(container="tar", words=("neg", "pos")),
    "packed archive": Form(container="tar.gz", words=("neg", "pos")),
    "zipped archive": Form(container="zip", words=("neg", "pos")),
}


def valid(form: Form) -> bytes:
    """Return the content of a file that is read."""
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder), {"": ROWS}, form).read_bytes()


def broken(form: Form, content: bytes, source: Source) -> bytes:
    """Return a content with something wrong, JSON also in its values."""
    if form.container == "json" and source.integer(0, 3):
        return broken_json(json.loads(content), source)
    return broken_bytes(content, source)


def read(path: Path) -> object:
    """Read a file into a cache that is gone afterwards; no refusal may quote a review."""
    cache = path.parent / "cache"
    try:
        with patch.dict(os.environ, BERT_MPQ_CACHE=str(cache)):
            return find_reviews(str(path))
    except MpqError as error:
        if MARK[:12] in f"{error.title} {error.hint}":
            raise AssertionError(f"a review in a sentence: {error.title} {error.hint}") from error
        raise
    finally:
        shutil.rmtree(cache, ignore_errors=True)
