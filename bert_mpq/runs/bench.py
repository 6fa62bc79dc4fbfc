"""``bench``: how fast models run here and in how much memory, FP32 beside every exported form.

Every model is loaded in a process of its own. All of them are alive at once and are measured in turns, so
that whatever else the machine does meets all of them. Memory is that of another, fresh process.
"""

import contextlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_mpq.compute.hardware import cores, processor
from bert_mpq.compute.reporting import Reporter
from bert_mpq.export.formats import FORMATS
from bert_mpq.export.onnx_classifier import MODEL
from bert_mpq.runs.bench_processes import Contender, Shape, Timing, memory_of, timings_of
from bert_mpq.runs.classify import format_of
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources.classifiers import Classifier, find_classifier, load_classifier

LATENCIES = ((1, 32), (1, 256))
THROUGHPUT = (16, 200)
ROUNDS = 7


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
            memory_of(each, threads, throughput)
            for each in reporter.track(contenders, "Measure memory", len(contenders))
        ]
        timings = timings_of(contenders, threads, (*LATENCIES, throughput), rounds, reporter)
    models = tuple(map(_measured, contenders, memory, timings))
    return Bench(processor=processor(), threads=threads, rounds=rounds, models=models)


def _measured(
    contender: Contender, memory: tuple[dict[str, Any], int], timings: tuple[Timing, ...]
) -> Measured:
    loaded, ran = memory
    return Measured(
        name=contender.name,
        file_bytes=contender.file_bytes,
        load_seconds=loaded["seconds"],
        loaded_bytes=loaded["loaded"] - loaded["library"],
        ran_bytes=ran - loaded["library"],
        library_bytes=loaded["library"],
        timings=timings,
    )


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
    from bert_mpq.export.formats.format import check_packages
    from bert_mpq.export.formats.onnx import PACKAGES, Onnx
    from bert_mpq.export.packed import PackedModel

    check_packages(PACKAGES, "onnx")
    packed = PackedModel(weights={}, tensors=classifier.model.state_dict())
    classifier.tokenizer.model_max_length = classifier.source.max_length
    Onnx().write(folder, packed, classifier.model, classifier.tokenizer, {})


def _check_same(classifier: Classifier, folder: Path) -> None:
    """Refuse a folder whose model has another shape than the FP32 model; raises MpqError E-EXPORT."""
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
