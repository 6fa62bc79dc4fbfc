"""``export_model``: from a run record to a folder that has been loaded again and compared."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from bert_mpq.compute.evaluate import figures
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.hardware import processor
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.export.card import card_text
from bert_mpq.export.folder import check_space, check_target, new_folder
from bert_mpq.export.formats import DEFAULT, Activations, Format, format_for
from bert_mpq.export.reload import logits_of, reloaded
from bert_mpq.export.result import Export, FileSize, ReloadComparison, RuntimeFigures
from bert_mpq.records.files import write_atomic
from bert_mpq.records.json_file import json_text
from bert_mpq.records.reading import EvaluationRecord, read_evaluation
from bert_mpq.runs.evaluated_model import Evaluated, evaluated_model
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError

REVIEWS = 64  # whose logits are compared after the reload
TOKENS = 128  # longer reviews are cut: every weight is compared anyway
CARD = "README.md"
FIGURES = "evaluation.json"  # beside it, of a file that has an accuracy of its own
PART = 256  # reviews between two steps of the progress


def export_model(
    evaluation: Path | str,
    to: Path | str,
    format_name: str = DEFAULT,
    reporter: Reporter | None = None,
    session: Session | None = None,
    activations: Activations = "fp32",
) -> Export:
    """Write an evaluated model as a folder: whole, reloaded in a fresh process and compared, or not at all.

    Args:
        evaluation: the run record (.json) of the evaluation, or the report (.txt) beside it.
        format_name: one of ``bert_mpq.export.formats.FORMATS``.
        activations: int8 = the fast form of the format onnx, which is evaluated before it is published.

    Raises:
        MpqError: E-EXPORT for a plan or a folder that cannot be; E-EXTRA; E-WEIGHTS when the evaluated
            weights cannot be made again; E-DISK; E-READONLY; what loading the model raises.
    """
    reporter, session = reporter or Silent(), session or Session()
    record, target, file_format = check_export(evaluation, to, format_name, activations)
    started = reporter.clock()
    evaluated = evaluated_model(record, session, reporter)
    with new_folder(target) as folder:
        size = _write(folder, file_format, record, evaluated)
        comparison = _compare(folder, file_format, evaluated, reporter)
        runtime = _figures(folder, file_format, evaluated, reporter) if file_format.measured else None
        text = card_text(record.result, file_format, target.name, size, comparison, runtime)
        write_atomic(folder / CARD, text)
    return Export(
        record=record,
        file_format=file_format,
        folder=target,
        files=tuple(sorted(filter(Path.is_file, target.rglob("*")))),
        size=size,
        comparison=comparison,
        seconds=reporter.clock() - started,
        runtime=runtime,
    )


def _write(folder: Path, file_format: Format, record: EvaluationRecord, evaluated: Evaluated) -> FileSize:
    """Write weights, config and tokenizer; return what the weights take."""
    packed, sizes = evaluated.packed, record.result.sizes
    weights = file_format.write(folder, packed, evaluated.model, _tokenizer(evaluated), _facts(record))
    return FileSize(
        total=sum(file.stat().st_size for file in weights.parent.glob(f"{weights.name}*")),
        header=file_format.header_bytes(weights),
        predicted=file_format.predicted_bytes(sizes, packed),
        original=sizes.whole_original_bits // 8,
    )


def _tokenizer(evaluated: Evaluated) -> Any:
    """Return the tokenizer so that its files alone cut where it was evaluated, and do not pad."""
    tokenizer = copy.deepcopy(evaluated.tokenizer)
    tokenizer.model_max_length = evaluated.max_length
    if fast := getattr(tokenizer, "backend_tokenizer", None):
        fast.no_padding()
        fast.enable_truncation(evaluated.max_length)
    return tokenizer


def check_export(
    evaluation: Path | str, to: Path | str, format_name: str, activations: Activations = "fp32"
) -> tuple[EvaluationRecord, Path, Format]:
    """Return record, folder and format of an export that can be made, as far as that can be said before it.

    Raises:
        MpqError: as ``export_model``.
    """
    file_format = format_for(format_name, activations)
    record = read_evaluation(evaluation)
    target = check_target(to)
    file_format.check(record.result)
    check_space(target, record.result.sizes.whole_original_bits // 8)
    return record, target, file_format


def _compare(folder: Path, file_format: Format, evaluated: Evaluated, reporter: Reporter) -> ReloadComparison:
    """Reload the folder in a fresh process and compare.

    Raises:
        MpqError: E-EXPORT when an exact format does not give back exactly what was evaluated.
    """
    texts, length = evaluated.texts(REVIEWS), min(evaluated.max_length, TOKENS)
    state = evaluated.packed.state()
    for _ in reporter.track([folder], "Reload in a fresh process", 1):
        before = logits_of(evaluated.model, evaluated.tokenizer, texts, length)
        again = reloaded(folder, file_format, sorted(state), texts, length)
    difference = float(abs(again.logits - before).max())
    identical = again.fingerprint == weights_fingerprint(state)
    same = int((again.logits.argmax(1) == before.argmax(1)).sum())
    exact = identical or file_format.rounding
    if file_format.tolerance is not None and not (
        exact and difference <= file_format.tolerance and same == len(texts)
    ):
        raise MpqError(
            "E-EXPORT",
            f"The reloaded model differs from the evaluated one (logits by up to {difference:g}).",
            "Nothing was kept. Try another format, and report it.",
        )
    return ReloadComparison(
        reviews=len(texts),
        max_difference=difference,
        identical=identical,
        same_predictions=same,
    )


def _figures(folder: Path, file_format: Format, evaluated: Evaluated, reporter: Reporter) -> RuntimeFigures:
    """Classify the held-out reviews of the evaluation with the file itself; keep the figures beside it."""
    reviews, running = evaluated.reviews(), file_format.load(folder)
    parts = [reviews.texts[start : start + PART] for start in range(0, len(reviews), PART)]
    started = reporter.clock()
    logits = np.concatenate(
        [running.logits(part) for part in reporter.track(parts, "Evaluate the file", len(reviews), len)]
    )
    seconds = reporter.clock() - started
    accuracy = figures(logits, logits.argmax(1), np.asarray(reviews.labels), seconds)
    found = RuntimeFigures(accuracy=accuracy, processor=processor())
    write_atomic(folder / FIGURES, json_text(dataclasses.asdict(found)))
    return found


def _facts(record: EvaluationRecord) -> dict[str, Any]:
    result = record.result
    return {
        "model": Path(result.setting.model_name).name if result.setting.model_name else "",
        "revision": record.revision,
        "bits": list(result.allocation.bits),
        "quantizer": result.config.quantizer,
        "embeddings": result.embeddings,
        "evaluated_fingerprint": result.weights_fingerprint,
        "accuracy": result.final.accuracy,
    }
