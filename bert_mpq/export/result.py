"""What an export wrote, and what came back from it."""

from dataclasses import dataclass
from pathlib import Path

from bert_mpq.export.formats import Embeddings, Format
from bert_mpq.records.reading import EvaluationRecord


@dataclass(frozen=True, kw_only=True)
class FileSize:
    """Bytes of the safetensors file, and what the plan said they would be.

    Args:
        header: its JSON header and the eight bytes before it.
        predicted: codes, scales and plain tensors, computed from the plan.
        original: the FP32 model's tensors.
    """

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
        max_difference: largest |logit difference| to what was written (of a format that rounds: to what was
            evaluated).
        identical: whether every weight has come back bit by bit.
        max_change: largest |logit difference| to the evaluated model; more than 0 with a format that rounds
            or with embeddings stored narrower than they were evaluated.
        same_predictions: reviews with the prediction of the evaluated model.
    """

    reviews: int
    max_difference: float
    identical: bool
    max_change: float
    same_predictions: int


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported folder."""

    record: EvaluationRecord
    file_format: Format
    embeddings: Embeddings
    folder: Path
    files: tuple[Path, ...]
    size: FileSize
    comparison: ReloadComparison
    seconds: float

    @property
    def folder_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)
