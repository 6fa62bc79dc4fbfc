"""Where a result comes from: model, data, machine, reviews and time."""

from dataclasses import dataclass
from typing import ClassVar

from bert_mpq.records.files import slug


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Model, data and machine of a run, as the artifacts name them.

    Args:
        model_name: hub id, path or ``embedded``.
        data_name: hub id or file.
        device: ``cpu``, ``cuda`` or ``mps``.
        num_gpus: GPUs of all processes; 0 on a CPU.
        batch_tokens: tokens per forward pass at most, padding included.
        processes: processes that shared the work, on one host or several.
        data_reading: what was understood of the user's own data; "" for IMDB.
        revision: commit of the weights on the hub where it is known, else "".
        weights: the files of the weights in words; "" where the package itself has them, and in old records.
        outputs: what the model's outputs mean, in words; "" in old records.
        encoder_fingerprint: SHA-256 of the FP32 encoder layers; "" in old records.
    """

    model_name: str
    model_title: str
    model_word: str
    data_name: str
    data_word: str
    device: str
    num_gpus: int
    precision: str
    max_length: int
    batch_tokens: int
    layers: int
    processes: int = 1
    data_reading: str = ""
    revision: str = ""
    weights: str = ""
    outputs: str = ""
    encoder_fingerprint: str = ""


def file_words(model: str, data: str) -> str:
    """Return the words of model and data as they stand in the names of files."""
    return f"{slug(model)}_{slug(data)}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Reviews that a phase used.

    Args:
        positive: reviews with label 1.
        fingerprint: SHA-256 of texts and labels.
        largest_batch: most reviews in one forward pass.
    """

    split: str
    size: int
    positive: int
    sampling: str
    fingerprint: str
    largest_batch: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a run and the seconds it took."""

    name: str
    seconds: float


class Staged:
    """A result with the stages it was measured in."""

    DERIVED: ClassVar = ("seconds",)  # properties that JSON documents have beside the fields

    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(stage.seconds for stage in self.stages)
