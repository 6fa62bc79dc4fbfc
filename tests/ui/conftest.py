import csv
import json

import pytest

from tests.helpers.export_cases import reloads_here
from tests.helpers.terminal import Terminal

__all__ = ["reloads_here"]


@pytest.fixture
def terminal(tmp_path):
    """Open ``bert-mpq`` in an empty folder with no hub in reach; ended after the test."""
    opened = []

    def start(*arguments, **options):
        environment = {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "cache"),
            "OMP_NUM_THREADS": "1",
            **options.pop("environment", {}),
        }
        opened.append(Terminal(arguments, tmp_path, environment=environment, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def small(small_model):
    """Flags of a run that takes no time."""
    return ["--model", str(small_model), "--max-length", "16"]


@pytest.fixture
def review_file(tmp_path, imdb):
    """A CSV of 200 real reviews, half of them held out."""
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for half in imdb.values():
            chosen = half.take([*range(50), *range(-50, 0)])  # sorted by label
            writer.writerows(zip(chosen.texts, chosen.labels, strict=True))
    return path


@pytest.fixture
def write_scores(tmp_path):
    """Write a sensitivity file: scores by layer, a number of layers, or the bare text."""

    def write(scores=6, name="layer_sensitivity_BERT_IMDB_cka.json"):
        if isinstance(scores, int):
            scores = {f"layer_{index}": 0.01 * (index + 1) for index in range(scores)}
        path = tmp_path / "Sensitivities" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(scores if isinstance(scores, str) else json.dumps(scores))
        return path

    return write
