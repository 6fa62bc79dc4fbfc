"""How far a stage or a training got, on disk, so that the same command goes on where a killed run was.

One file each: a NumPy archive (arrays only, no code, a CRC for each), replaced as a whole. It says what it
belongs to; one of other work, or a broken one, is never used.
"""

import contextlib
import functools
import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bert_mpq.compute import distributed
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.records.files import disk_errors, slug, write_stream
from bert_mpq.records.numbers import duration
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path

EVERY = 60.0  # seconds between two writes at least
HEADER = "header"
CHECKPOINT_VERSION = 5  # of what a stage computes and saves
T = TypeVar("T")
Identity = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class State:
    """What a checkpoint holds.

    Args:
        facts: values that JSON can hold, by name.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoint:
    """The file of one stage; one that is of no use is ignored with a note.

    Args:
        identity: everything that the result depends on; asked only when there is a file to read or to write,
            because weights take a while to hash.
        every: seconds between two writes at least; 0 = whenever asked, whatever it costs.
    """

    writing_share = 0.01  # of the time at most

    def __init__(self, path: Path, identity: Identity, every: float, reporter: Reporter) -> None:
        self.path = path
        self.written: float | None = None  # when, by time.monotonic
        self._identity = identity
        self._every = every
        self._reporter = reporter
        self._due = time.monotonic() + every

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._due

    def check(self) -> bool:
        """Return whether there is a state of this work to go on from; only the header is read."""
        return bool(self._open(lambda archive, header: True))

    def restore(self, load: Callable[[State], T]) -> T | None:
        """Give ``load`` what ``write`` wrote and return its answer; None when there is nothing of use."""

        def read(archive: Mapping[str, Any], header: Mapping[str, Any]) -> T:
            # By the header's names: a damaged directory can lose one without a sign.
            tensors = {name: torch.from_numpy(archive[name]) for name in header["tensors"]}
            return load(State(tensors=tensors, facts=header["facts"]))

        return self._open(read)

    def write(self, state: State) -> None:
        """Replace the file. A disk that refuses it does not end the run: it goes on without checkpoints."""
        started = time.monotonic()
        header = json.dumps({**self._header(), "tensors": list(state.tensors), "facts": state.facts})
        arrays = {HEADER: np.frombuffer(header.encode(), np.uint8)}
        arrays |= {name: tensor.detach().cpu().numpy() for name, tensor in state.tensors.items()}

        try:
            with disk_errors(self.path.parent):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            write_stream(self.path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        except MpqError as error:
            self._reporter.note(f"No checkpoints in this run: {error.title}")
            self._due = float("inf")
            return
        self.written = time.monotonic()
        pause = max(self._every, (self.written - started) / self.writing_share)
        self._due = self.written + (pause if self._every else 0.0)

    def stage_over(self) -> None:
        """Let go of what ``identity`` holds, the stage's module: the next stage needs the memory."""
        del self._identity

    def remove(self) -> None:
        """Remove the file, and what a killed write left of a newer one."""
        for path in (self.path, self.path.with_name(self.path.name + ".part")):
            with contextlib.suppress(OSError):
                path.unlink()

    def _open(self, use: Callable[[Mapping[str, Any], Mapping[str, Any]], T]) -> T | None:
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                header = json.loads(bytes(archive[HEADER]))
                mine, theirs = self._own, header["identity"]
                other = [name for name in mine if theirs.get(name) != mine[name]]
                if not other:
                    return use(archive, header)
        except Exception as error:  # a damaged archive fails in a dozen ways
            self._broken(error)
            return None
        self._of_other_work(other[0], header)
        return None

    def _header(self) -> dict[str, Any]:
        return {"identity": self._own}

    @functools.cached_property
    def _own(self) -> dict[str, str]:
        return dict(self._identity())

    def _of_other_work(self, what: str, header: Mapping[str, Any]) -> None:
        self._ignored(f"it belongs to a run with other {what}")

    def _broken(self, error: Exception) -> None:
        self._ignored("it is broken")

    def _ignored(self, why: str) -> None:
        self._reporter.note(f"The checkpoint {self.path.name} is ignored: {why}.")


class Checkpoints:
    """The checkpoints of a run, as a context: removed at its end, kept, with a note, when it is stopped.

    Args:
        output: the folder that holds ``folder``.
        folder: ``Sensitivities`` or ``Evaluation``.
    """

    def __init__(self, output: str, folder: str, every: float, reporter: Reporter) -> None:
        self._folder = user_path(output) / folder
        self._every = every
        self._reporter = reporter
        self._opened: list[Checkpoint] = []

    def open(self, stage: str, identity: Identity) -> Checkpoint:
        """Return the checkpoint of a stage; ``stage`` is its name on screens."""
        part = f"_{distributed.rank()}of{distributed.size()}" if distributed.size() > 1 else ""
        path = self._folder / f".checkpoint_{slug(stage.lower())}{part}.npz"
        checkpoint = Checkpoint(path, identity, self._every, self._reporter)
        self._opened.append(checkpoint)
        return checkpoint

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for checkpoint in self._opened:
                checkpoint.remove()
            return
        written = [c.written for c in self._opened if c.written is not None]
        if written:
            age = duration(time.monotonic() - max(written))
            self._reporter.note(
                f"The progress up to {age} ago is kept in {self._folder}/: the same command goes on there."
            )


def pass_identity(module: nn.Module, work: Workload) -> dict[str, str]:
    """Return what a pass of ``module`` over the reviews depends on, the rounding included."""
    return {
        "weights": weights_fingerprint(module.state_dict()),
        "reviews": work.tokens.digest,
        "device": work.machine.device.type,
        "precision": work.machine.precision,
        "batch size": str(work.batch_tokens),
        "processes": f"{distributed.rank()} of {distributed.size()}",
        "versions": f"checkpoint {CHECKPOINT_VERSION}, torch {importlib.metadata.version('torch')}",
    }
