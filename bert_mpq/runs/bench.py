"""``bench``: how fast models run here and in how much memory, FP32 beside every exported form.

Every model is loaded in a process of its own. All of them are alive at once and are measured in turns, so
that whatever else the machine does meets all of them. Memory is that of another, fresh process.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_mpq.compute.hardware import cores, processor
from bert_mpq.compute.reporting import Reporter
from bert_mpq.export.formats import FORMATS
from bert_mpq.export.onnx_classifier import MODEL
from bert_mpq.export.reload import fresh_environment
from bert_mpq.runs.classify import format_of
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier

LATENCIES = ((1, 32), (1, 256))
THROUGHPUT = (16, 200)
ROUNDS = 7
Shape = tuple[int, int]  # texts, tokens


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one forward pass.

    Args:
        shape: texts and tokens of each.
        low: the fastest of all rounds.
        high: the slowest.
    """

    shape: Shape
    median: float
    low: float
    high: float

    @property
    def per_second(self) -> float:
        """Texts per second."""
        return self.shape[0] / self.median


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one model took.

    Args:
        name: a folder, or what FP32 ran on.
        file_bytes: of the files with the weights.
        load_seconds: from the imported library to the loaded model.
        loaded_bytes: resident memory that loading has added.
        ran_bytes: the same after the largest batch has run.
        library_bytes: resident memory before, of Python and the library.
        timings: latencies, then throughput.
    """

    name: str
    file_bytes: int
    load_seconds: float
    loaded_bytes: int
    ran_bytes: int
    library_bytes: int
    timings: tuple[Timing, ...]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured, FP32 first, and on what.

    Args:
        processor: its name and what it has for products of integers.
    """

    processor: str
    threads: int
    rounds: int
    models: tuple[Measured, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model that is measured: its name in tables, what ``text_classifier`` loads, and its weights files."""

    name: str
    model: str
    file_bytes: int


def bench(
    folders: Sequence[str],
    model: str,
    reporter: Reporter,
    throughput: Shape = THROUGHPUT,
    threads: int | None = None,
    rounds: int = ROUNDS,
) -> Bench:
    """Measure exported folders beside the FP32 model, by PyTorch and by ONNX Runtime.

    Args:
        folders: as ``bert-mpq export`` wrote them.
        model: the FP32 classifier that they were made from.
        throughput: texts and tokens of a large batch.
        threads: of every process; None = one per core.

    Raises:
        MpqError: E-EXPORT for a folder that is no export, or of another model; what loading a model raises.
    """
    threads = threads or len(cores())
    exported = [_exported(folder) for folder in folders]
    with tempfile.TemporaryDirectory(prefix="bert-mpq-bench-") as temporary:
        contenders = [*_fp32(model, folders, Path(temporary), reporter), *exported]
        memory = [
            _memory(each, threads, throughput)
            for each in reporter.track(contenders, "Measure memory", len(contenders))
        ]
        timings = _timings(contenders, threads, throughput, rounds, reporter)
    measured = tuple(
        Measured(
            name=each.name,
            file_bytes=each.file_bytes,
            load_seconds=loaded["seconds"],
            loaded_bytes=loaded["loaded"] - loaded["library"],
            ran_bytes=ran - loaded["library"],
            library_bytes=loaded["library"],
            timings=timing,
        )
        for each, (loaded, ran), timing in zip(contenders, memory, timings, strict=True)
    )
    return Bench(processor=processor(), threads=threads, rounds=rounds, models=measured)


def _exported(name: str) -> Contender:
    folder = user_path(name)
    weights = FORMATS[format_of(folder) or "dense-fp16"].weights_file
    files = list((folder / weights).parent.glob(f"{Path(weights).name}*"))
    if not files:
        raise MpqError(
            "E-EXPORT", f"{name} holds no exported model.", "Give folders that bert-mpq export has written."
        )
    return Contender(name=name, model=name, file_bytes=sum(file.stat().st_size for file in files))


def _fp32(model: str, folders: Sequence[str], temporary: Path, reporter: Reporter) -> list[Contender]:
    """Return the FP32 model for PyTorch and, written into ``temporary``, for ONNX Runtime."""
    for _ in reporter.track([model], "Load FP32 and write it as ONNX", 1):
        classifier = load_classifier(find_classifier(model))
        for folder in folders:
            _check_same(classifier, user_path(folder))
        size = 4 * sum(parameter.numel() for parameter in classifier.model.parameters())
        name = classifier.source.name
        contenders = [Contender(name="FP32, PyTorch", model=name, file_bytes=size)]
        try:
            _write_fp32(classifier, temporary)
        except MpqError as error:
            reporter.note(f"FP32 is not measured with ONNX Runtime. {error.title}")
        else:
            size = (temporary / MODEL).stat().st_size
            contenders.append(Contender(name="FP32, ONNX Runtime", model=str(temporary), file_bytes=size))
    return contenders


def _write_fp32(classifier: Classifier, folder: Path) -> None:
    from bert_mpq.export.formats.onnx import PACKAGES, Onnx
    from bert_mpq.export.formats.packages import check_packages
    from bert_mpq.export.packed import PackedModel

    check_packages(PACKAGES, "onnx")
    packed = PackedModel(weights={}, tensors=classifier.model.state_dict())
    classifier.tokenizer.model_max_length = classifier.source.max_length
    Onnx().write(folder, packed, classifier.model, classifier.tokenizer, {})


def _check_same(classifier: Classifier, folder: Path) -> None:
    """Refuse a folder whose model has another shape than the FP32 model.

    Raises:
        MpqError: E-EXPORT.
    """
    own = classifier.model.config.to_dict()
    with contextlib.suppress(OSError, ValueError):
        other = json.loads((folder / "config.json").read_bytes())
        keys = ("model_type", "vocab_size", "num_hidden_layers", "n_layers", "hidden_size", "dim")
        if any(own.get(key) != other.get(key) for key in keys if key in own and key in other):
            raise MpqError(
                "E-EXPORT",
                f"{folder.name} was not made from {classifier.source.name}: its shape is another.",
                "Name the FP32 model with --model.",
            )


class _Worker:
    """A process of ``bert_mpq.runs.bench_worker``."""

    def __init__(self, contender: Contender, threads: int) -> None:
        self._contender = contender
        environment = fresh_environment() | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bert_mpq.runs.bench_worker", contender.model, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.loaded: dict[str, Any] = self._read()

    def ask(self, question: dict[str, Any]) -> Any:
        """Return the answer to a question."""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._read()

    def run(self, shape: Shape) -> float:
        """Return the seconds of a forward pass."""
        return float(self.ask({"run": self.cut(shape)}))

    def cut(self, shape: Shape) -> Shape:
        """Return a shape that the model can take."""
        return shape[0], min(shape[1], self.loaded["longest"])

    def _read(self) -> Any:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            return json.loads(line)
        said = self._process.communicate()[1].strip().splitlines() or ["it ended without a word"]
        raise MpqError(
            "E-EXPORT",
            f"{self._contender.name} does not run: {said[-1][:200].rstrip('.')}.",
            "Export it again.",
        )

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _memory(contender: Contender, threads: int, largest: Shape) -> tuple[dict[str, Any], int]:
    """Return what a fresh process says of loading, and its resident bytes after a large batch."""
    with contextlib.closing(_Worker(contender, threads)) as worker:
        worker.run(largest)
        return worker.loaded, int(worker.ask({"memory": None}))


def _timings(
    contenders: Sequence[Contender], threads: int, throughput: Shape, rounds: int, reporter: Reporter
) -> list[tuple[Timing, ...]]:
    """Return the timings of every contender; one pass before the first round is not counted."""
    shapes = (*LATENCIES, throughput)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(contextlib.closing(_Worker(each, threads))) for each in contenders]
        seconds: list[dict[Shape, list[float]]] = [{shape: [] for shape in shapes} for _ in workers]
        for turn in reporter.track(range(rounds + 1), "Measure in turns", rounds + 1):
            for shape in shapes:
                for worker, taken in zip(workers, seconds, strict=True):
                    passed = worker.run(shape)
                    if turn:
                        taken[shape].append(passed)
    return [
        tuple(
            Timing(
                shape=worker.cut(shape),
                median=statistics.median(taken[shape]),
                low=min(taken[shape]),
                high=max(taken[shape]),
            )
            for shape in shapes
        )
        for worker, taken in zip(workers, seconds, strict=True)
    ]
