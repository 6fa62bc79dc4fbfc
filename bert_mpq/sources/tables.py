"""Tables of reviews: CSV, JSON, Parquet, Arrow."""

import glob
from pathlib import Path
from typing import Any

from bert_mpq.compute.reviews import ROWS, Reviews, StoredTexts
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.halves import Split, half

READERS = {".csv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


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
