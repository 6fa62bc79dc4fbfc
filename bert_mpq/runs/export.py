"""``export_model``: from a run record to a folder that has been loaded again and compared."""

import time
from pathlib import Path
from typing import Any

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.export.card import card_text
from bert_mpq.export.folder import check_space, check_target, new_folder
from bert_mpq.export.formats import DEFAULT, FORMATS, Format
from bert_mpq.export.reload import logits_of, reloaded
from bert_mpq.export.result import Export, FileSize, ReloadComparison
from bert_mpq.records.files import write_atomic
from bert_mpq.records.reading import EvaluationRecord, read_evaluation
from bert_mpq.runs.evaluated_model import Evaluated, evaluated_model
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError, UsageError

REVIEWS = 64  # whose logits are compared after the reload
TOKENS = 128  # longer reviews are cut: every weight is compared anyway
CARD = "README.md"


def export_model(
    evaluation: Path | str,
    to: Path | str,
    format_name: str = DEFAULT,
    reporter: Reporter | None = None,
    session: Session | None = None,
) -> Export:
    """Write the model of an evaluation as a folder, load it again in a fresh process, and compare.

    The folder appears whole, after the comparison, or not at all.

    Args:
        evaluation: the run record (.json) of the evaluation, or the report (.txt) beside it.
        format_name: one of ``bert_mpq.export.formats.FORMATS``.

    Raises:
        MpqError: E-EXPORT for a plan or a folder that cannot be; E-EXTRA; E-WEIGHTS when the evaluated
            weights cannot be made again; E-DISK; E-READONLY; what loading the model raises.
    """
    reporter, session = reporter or Silent(), session or Session()
    if format_name not in FORMATS:
        raise UsageError("E-EXPORT", f"There is no format {format_name}.", f"Take {' or '.join(FORMATS)}.")
    file_format = FORMATS[format_name]
    record = read_evaluation(evaluation)
    target = check_target(to)
    file_format.check(record.result)
    check_space(target, record.result.sizes.whole_original_bits // 8)
    started = time.perf_counter()
    evaluated = evaluated_model(record, session, reporter)
    packed = evaluated.packed
    with new_folder(target) as folder:
        facts = _facts(record)
        weights = file_format.write(folder, packed, evaluated.model, evaluated.tokenizer, facts)
        size = FileSize(
            total=weights.stat().st_size,
            header=file_format.header_bytes(weights),
            predicted=file_format.predicted_bytes(record.result.sizes, packed),
            original=record.result.sizes.whole_original_bits // 8,
        )
        comparison = _compare(folder, file_format, evaluated, reporter)
        text = card_text(record.result, file_format, target.name, size, comparison)
        write_atomic(folder / CARD, text)
    return Export(
        record=record,
        file_format=file_format,
        folder=target,
        files=tuple(sorted(target.iterdir())),
        size=size,
        comparison=comparison,
        seconds=time.perf_counter() - started,
    )


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
    if file_format.exact and (difference or not identical):
        raise MpqError(
            "E-EXPORT",
            f"The reloaded model differs from the evaluated one (logits by up to {difference:g}).",
            "Nothing was kept. Try another format, and report it.",
        )
    return ReloadComparison(
        reviews=len(texts),
        max_difference=difference,
        identical=identical,
        same_predictions=int((again.logits.argmax(1) == before.argmax(1)).sum()),
    )


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
