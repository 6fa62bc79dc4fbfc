"""What an export wrote, and what came back from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bert_mpq.export.formats import Format
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.records.reading import EvaluationRecord


@dataclass(frozen=True, kw_only=True)
class FileSize:
    """Bytes of the safetensors file, and what the plan said they would be.

    Args:
        header: its JSON header and the eight bytes before it.
        predicted: codes, scales and plain tensors, computed from the plan.
        original: the FP32 model's tensors.
    """

    DERIVED: ClassVar = ("ratio",)  # a property that JSON documents have beside the fields

    total: int
    header: int
    predicted: int
    original: int

    @property
    def ratio(self) -> float:
        """FP32 over this file."""
        return self.original / self.total


@dataclass(frozen=True, kw_only=True)
class ReloadComparison:
    """The folder, reloaded in a fresh process, against the model in memory, on the same reviews.

    Args:
        max_difference: largest |logit difference|; more than 0 only with a format that rounds.
        identical: whether every weight has come back bit by bit.
        same_predictions: reviews with the prediction of the evaluated model.
    """

    reviews: int
    max_difference: float
    identical: bool
    same_predictions: int


@dataclass(frozen=True, kw_only=True)
class RuntimeFigures:
    """What ONNX Runtime measured with the file itself, on the held-out reviews of the evaluation.

    Args:
        processor: its name, and what it has for products of integers.
    """

    accuracy: Accuracy
    processor: str


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported folder.

    Args:
        runtime: figures of a file that computes otherwise than what was evaluated.
    """

    record: EvaluationRecord
    file_format: Format
    folder: Path
    files: tuple[Path, ...]
    size: FileSize
    comparison: ReloadComparison
    seconds: float
    runtime: RuntimeFigures | None = None

    @property
    def folder_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)
