"""The state of a training in a file, so that an interrupted training goes on where it was."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from bert_mpq.compute.checkpoints import Checkpoint, Identity, State
from bert_mpq.compute.optimization import Optimization
from bert_mpq.compute.reporting import Reporter
from bert_mpq.quantization.training.student import Frozen
from bert_mpq.quantization.weight import as_tensors, from_tensors
from bert_mpq.records.training import CurvePoint
from bert_mpq.settings.errors import MpqError

NAME = "qat_checkpoint.npz"
MOST_COMMAND = 4_000  # characters; the file may hold anything
OTHERS, LOSS = "other/", "loss"


class TrainingCheckpoint(Checkpoint):
    """The file of one training. There may be hours in it: one that is of no use is an error, not ignored.

    Args:
        identity: everything that the training's result depends on.
        command: repeats the run; named when another run finds the file.
        every: seconds between two writes at least.
        reporter: is told when the file cannot be written.

    Raises:
        MpqError: E-CHECKPOINT by ``check`` and ``restore`` when the file is another training's, or cannot be
            read.
    """

    writing_share = 0.05

    def __init__(
        self, folder: Path, identity: Identity, command: str, every: float, reporter: Reporter
    ) -> None:
        super().__init__(folder / NAME, identity, every, reporter)
        self._command = command

    def _header(self) -> dict[str, Any]:
        return {**super()._header(), "command": self._command}

    def _of_other_work(self, what: str, header: Mapping[str, Any]) -> NoReturn:
        raise MpqError(
            "E-CHECKPOINT",
            f"{self.path} is an unfinished training with other {what}.",
            f"Finish it: {str(header.get('command'))[:MOST_COMMAND]}\nOr delete it.",
        )

    def _broken(self, error: Exception) -> NoReturn:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:120]
        raise MpqError(
            "E-CHECKPOINT", f"{self.path} cannot be read: {reason}", "Delete it to start this training anew."
        ) from error


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Where a training is.

    Args:
        curve: the checks so far.
        losses: steps whose loss has been added up since the last check.
    """

    curve: tuple[CurvePoint, ...] = ()
    losses: int = 0
    seconds: float = 0.0
    steps: int = 0

    @property
    def best(self) -> CurvePoint:
        """The first of the checks with the lowest KL."""
        return min(self.curve, key=lambda point: point.kl)


def snapshot(optimization: Optimization, loss: Tensor, best: Frozen, counters: Counters) -> State:
    """Return everything that decides how the training goes on."""
    tensors = {LOSS: loss, **optimization.state()}
    tensors |= as_tensors(best.weights)
    tensors |= {OTHERS + name: value for name, value in best.others.items()}
    bits = {name: weight.bits for name, weight in best.weights.items()}
    return State(tensors=tensors, facts={**dataclasses.asdict(counters), "bits": bits})


def restored(state: State, optimization: Optimization, loss: Tensor) -> tuple[Counters, Frozen]:
    """Put a snapshot back into optimization and loss; return counters and best model.

    Raises:
        KeyError: a tensor or value is missing.
        RuntimeError: a shape is another one's.
    """
    tensors, facts = state.tensors, dict(state.facts)
    best = Frozen(
        weights=from_tensors(tensors, facts.pop("bits")),
        others={
            name.removeprefix(OTHERS): value for name, value in tensors.items() if name.startswith(OTHERS)
        },
    )
    curve = tuple(CurvePoint(**point) for point in facts.pop("curve"))
    counters = Counters(**facts, curve=curve)
    loss.copy_(tensors[LOSS])
    optimization.restore(tensors, counters.steps)
    return counters, best
