"""How far a stage got, on disk, so that the same command goes on where a killed run was.

One dot-file per stage and process in the output folder: a NumPy archive (arrays only, no code, a CRC for
each), replaced as a whole. It says what it belongs to; one of another run, or a broken one, is never used.
"""

import contextlib
import importlib.metadata
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from bert_mpq.compute import distributed
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.files import prepare_folder, slug, write_stream
from bert_mpq.records.numbers import duration
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path

if TYPE_CHECKING:
    from bert_mpq.compute.devices import Machine

EVERY = 60.0  # seconds between two writes at least
WRITING_SHARE = 0.01  # of the time at most
HEADER = "header"
VERSION = 2  # of what a stage computes and saves
T = TypeVar("T")
Arrays = Mapping[str, npt.NDArray[np.generic]]
Identity = Callable[[], Mapping[str, str]]


class Checkpoint:
    """The checkpoint of one stage; made by ``Checkpoints``.

    Args:
        path: its file.
        identity: everything that the stage's result depends on; asked only when there is a file to read or to
            write, because weights take a while to hash.
        every: seconds between two writes at least; 0 = after every batch, whatever it costs.
        reporter: is told what became of a file.
    """

    def __init__(self, path: Path, identity: Identity, every: float, reporter: Reporter) -> None:
        self.path = path
        self.written: float | None = None  # when, by time.monotonic
        self._identity = identity
        self._known: dict[str, str] | None = None
        self._every = every
        self._reporter = reporter
        self._due = time.monotonic() + every

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._due

    def restore(self, load: Callable[[Arrays], T]) -> T | None:
        """Give ``load`` what ``write`` wrote and return its answer; None, with a note, when it is no use."""
        if not self.path.exists():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                header, mine = json.loads(bytes(archive[HEADER])), self._own()
                other = [name for name in mine if header["identity"].get(name) != mine[name]]
                if other:
                    self._ignored(f"it belongs to a run with other {other[0]}")
                    return None
                # By the header's names: a damaged directory can lose one without a sign.
                return load({name: archive[name] for name in header["arrays"]})
        except Exception:  # a damaged archive fails in a dozen ways, and none of them may end a run
            self._ignored("it is broken")
            return None

    def write(self, arrays: Arrays) -> None:
        """Replace the file. A disk that refuses it does not end the run: it goes on without checkpoints."""
        started = time.monotonic()
        header = json.dumps({"identity": self._own(), "arrays": list(arrays)}).encode()
        named = {HEADER: np.frombuffer(header, np.uint8), **arrays}

        def save(file: BinaryIO) -> None:
            np.savez(file, **named)  # type: ignore[arg-type]

        try:
            prepare_folder(self.path.parent.parent, self.path.parent.name)
            write_stream(self.path, save)
        except MpqError as error:
            self._reporter.note(f"No checkpoints in this run: {error.title}")
            self._due = float("inf")
            return
        self.written = time.monotonic()
        pause = max(self._every, (self.written - started) / WRITING_SHARE)
        self._due = self.written + (pause if self._every else 0.0)

    def remove(self) -> None:
        """Remove the file, and what a killed write left of a newer one."""
        for path in (self.path, self.path.with_name(self.path.name + ".part")):
            with contextlib.suppress(OSError):
                path.unlink()

    def _own(self) -> dict[str, str]:
        if self._known is None:
            self._known = dict(self._identity())
        return self._known

    def _ignored(self, why: str) -> None:
        self._reporter.note(f"The checkpoint {self.path.name} is ignored: {why}.")


class Checkpoints:
    """The checkpoints of a run, as a context: removed at its end, kept, with a note, when it is stopped.

    Args:
        output: the folder that holds ``folder``.
        folder: ``Sensitivities`` or ``Evaluation``.
        every: seconds between two writes at least.
        reporter: is told what became of the files.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for checkpoint in self._opened:
                checkpoint.remove()
            return
        written = [c.written for c in self._opened if c.written is not None]
        if written:
            age = duration(time.monotonic() - max(written))
            self._reporter.note(
                f"The progress up to {age} ago is kept in {self._folder}/: the same command goes on there."
            )


def stage_identity(machine: "Machine", budget: int) -> dict[str, str]:
    """Return what the rounding of forward passes depends on."""
    return {
        "device": machine.device.type,
        "precision": machine.precision,
        "batch size": str(budget),
        "processes": f"{distributed.rank()} of {distributed.size()}",
        "versions": f"checkpoint {VERSION}, torch {importlib.metadata.version('torch')}",
    }
