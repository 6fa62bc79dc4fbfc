"""A training's state in one safetensors file, so that an interrupted training goes on where it was."""

import contextlib
import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bert_mpq.compute.fingerprint import weights_digest
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.records.files import prepare_folder, write_atomic
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError

NAME = "qat_checkpoint.safetensors"
KEY = "bert_mpq_training"
EVERY = 60.0  # seconds
WRITING_SHARE = 0.05
MOST_COMMAND = 4_000  # characters; the file may hold anything
DELETE = "Delete it to start this training anew."


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Everything that a training's result depends on; a checkpoint of another identity is refused.

    Args:
        model: name of the classifier.
        weights: SHA-256 of its FP32 parameters.
        reviews: fingerprint of the sample.
        max_length: tokens per review.
        bits: bits of each encoder layer.
        quantizer: the quantizer it starts from, in words.
        precision: arithmetic of the forward passes.
        batch_tokens: tokens per forward pass, padding included.
        recipe: the recipe in words.
    """

    model: str
    weights: str
    reviews: str
    max_length: int
    bits: tuple[int, ...]
    quantizer: str
    precision: str
    batch_tokens: int
    recipe: str


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint holds: tensors by name, and JSON values."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Checkpoint:
    """The checkpoint file of one training.

    Args:
        folder: where it lies.
        identity: of the training.
        command: repeats the run; named when another run finds the file.
        every: seconds between two writes at least.
        writing_share: largest share of the time that is spent on writing.
    """

    def __init__(
        self,
        folder: Path,
        identity: Identity,
        command: str,
        every: float = EVERY,
        writing_share: float = WRITING_SHARE,
    ) -> None:
        self.path = folder / NAME
        self._identity = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(identity).items()
        }
        self._command = command
        self._every, self._writing_share = every, writing_share
        self._due = time.monotonic() + every

    def check(self) -> bool:
        """Return whether there is a checkpoint of this training; reads only its header.

        Raises:
            MpqError: E-CHECKPOINT when it is another training's, or cannot be read.
        """
        if not self.path.exists():
            return False
        header = self._header()
        theirs = header.get("identity", {})
        for name, mine in self._identity.items():
            if theirs.get(name) != mine:
                what = name.replace("_", " ")
                raise MpqError(
                    "E-CHECKPOINT",
                    f"{self.path} is an unfinished training with other {what}.",
                    f"Finish it: {str(header.get('command'))[:MOST_COMMAND]}\nOr delete it.",
                )
        return True

    def read(self) -> State:
        """Return what ``write`` wrote; raises as ``check``."""
        facts = self._header()["facts"]
        with self._readable(), safe_open(self.path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return State(tensors=tensors, facts=facts)

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._due

    def write(self, state: State) -> None:
        """Replace the file as a whole.

        Raises:
            MpqError: E-READONLY or E-DISK.
        """
        started = time.monotonic()
        header = {"version": 1, "identity": self._identity, "command": self._command, "facts": state.facts}
        prepare_folder(self.path.parent.parent, self.path.parent.name)
        write_atomic(self.path, save(state.tensors, {KEY: json.dumps(header)}))
        ended = time.monotonic()
        self._due = ended + max(self._every, (ended - started) / self._writing_share)

    def remove(self) -> None:
        """Remove the file: the training is finished."""
        self.path.unlink(missing_ok=True)

    def unreadable(self, error: Exception) -> MpqError:
        """Return the error of a file that does not hold what it should."""
        reason = str(error).splitlines()[0][:120]
        return MpqError("E-CHECKPOINT", f"{self.path} cannot be read: {reason}", DELETE)

    def _header(self) -> dict[str, Any]:
        with self._readable(), safe_open(self.path, "pt") as file:
            header = json.loads((file.metadata() or {})[KEY])
            parts = (header, header.get("identity"), header.get("facts")) if isinstance(header, dict) else ()
            if not parts or not all(isinstance(part, dict) for part in parts):
                raise ValueError("its header is none of a training")
            return dict(header)

    @contextlib.contextmanager
    def _readable(self) -> Any:
        try:
            yield
        except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
            raise self.unreadable(error) from error


def identity_of(
    config: RunConfig,
    model: nn.Module,
    model_name: str,
    bits: tuple[int, ...],
    reviews: str,
    max_length: int,
    batch_tokens: int,
    recipe: Recipe,
) -> Identity:
    """Return the identity that a checkpoint is compared by.

    Args:
        config: names the quantizer and the precision.
        model: the FP32 classifier.
        model_name: its name in the artifacts.
        bits: of each encoder layer, or of each Linear.
        reviews: fingerprint of the training sample.
        max_length: tokens per review.
        batch_tokens: tokens per forward pass, padding included.
        recipe: how to train.
    """
    return Identity(
        model=model_name,
        weights=weights_digest(model),
        reviews=reviews,
        max_length=max_length,
        bits=bits,
        quantizer=(
            f"{config.quantizer}, group size {config.group_size or 'channel'}, {config.gptq_reviews} GPTQ"
            f" reviews, embeddings {config.embeddings}"
        ),
        precision=config.precision,
        batch_tokens=batch_tokens,
        recipe=str(recipe),
    )
