"""What an export wrote, and what came back from it."""

from dataclasses import dataclass
from pathlib import Path

from bert_mpq.export.formats import Embeddings, Format
from bert_mpq.records.context import Stage
from bert_mpq.records.reading import EvaluationRecord


@dataclass(frozen=True, kw_only=True)
class FileSize:
    """Bytes of the safetensors file, and what the plan said they would be.

    Args:
        total: the file.
        header: its JSON header and the eight bytes before it.
        predicted: codes, scales and plain tensors, computed from the plan.
        original: the FP32 model's tensors.
    """

    total: int
    header: int
    predicted: int
    original: int

    @property
    def tensors(self) -> int:
        """Bytes without the header."""
        return self.total - self.header

    @property
    def ratio(self) -> float:
        """FP32 over this file."""
        return self.original / self.total


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The folder, reloaded in a fresh process, against the model in memory, on the same reviews.

    Args:
        reviews: how many.
        max_difference: largest |logit difference| to what was written (dense-fp16: to what was evaluated).
        identical: whether every weight has come back bit by bit.
        max_change: largest |logit difference| to the evaluated model; more than 0 with dense-fp16 or with
            embeddings stored narrower than they were evaluated.
        same_predictions: reviews with the prediction of the evaluated model.
    """

    reviews: int
    max_difference: float
    identical: bool
    max_change: float
    same_predictions: int


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported folder.

    Args:
        record: the evaluation it comes from.
        kind: the format.
        embeddings: what is stored of the embedding tables.
        folder: where it is.
        files: what is in it.
        size: of the safetensors file.
        comparison: the reload.
        stages: seconds.
    """

    record: EvaluationRecord
    kind: Format
    embeddings: Embeddings
    folder: Path
    files: tuple[Path, ...]
    size: FileSize
    comparison: Comparison
    stages: tuple[Stage, ...]

    @property
    def folder_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)
