"""``export_model``: from a run record to a folder that has been loaded again and compared."""

import copy
from pathlib import Path
from typing import Any

from torch import nn

from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.export.card import card_text
from bert_mpq.export.folder import check_space, check_target, new_folder
from bert_mpq.export.formats import FORMATS, Embeddings, Format, check_format
from bert_mpq.export.formats.writing import header_bytes, predicted_bytes, write_checkpoint
from bert_mpq.export.packed import PackedModel, with_embeddings
from bert_mpq.export.reload import Reload, logits_of
from bert_mpq.export.result import Comparison, Export, FileSize
from bert_mpq.records.files import write_atomic
from bert_mpq.records.reading import EvaluationRecord, read_evaluation
from bert_mpq.runs.evaluated_model import Evaluated, evaluated_model
from bert_mpq.runs.session import Clock, Session
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import is_symmetric

REVIEWS, TOKENS = (
    64,
    128,
)  # compared after the reload; longer reviews are cut, every weight is compared anyway
CARD = "README.md"


def export_model(
    evaluation: Path | str,
    to: Path | str,
    kind: Format = "mpq",
    embeddings: Embeddings = "as-evaluated",
    reporter: Reporter | None = None,
    session: Session | None = None,
) -> Export:
    """Write the model of an evaluation as a folder, load it again in a fresh process, and compare.

    The folder appears whole, after the comparison, or not at all.

    Args:
        evaluation: the run record (.json) of the evaluation, or the report (.txt) beside it.
        to: the folder to make.
        kind: the format, see ``bert_mpq.export.formats``.
        embeddings: store the embedding tables narrower than they were evaluated.
        reporter: shows progress; default none.
        session: remembers the model of the evaluation.

    Raises:
        MpqError: E-EXPORT for a plan or a folder that cannot be; E-EXTRA; E-WEIGHTS when the evaluated
            weights cannot be made again; E-DISK; E-READONLY; what loading the model raises.
    """
    reporter, session = reporter or Silent(), session or Session()
    record = read_evaluation(evaluation)
    target = check_target(to)
    asymmetric = not is_symmetric(record.result.config.quantizer)
    check_format(kind, record.result.allocation.bits, asymmetric, embeddings)
    check_space(target, record.result.sizes.whole_original_bits // 8)
    clock = Clock()
    evaluated = evaluated_model(record, session, reporter)
    clock.lap("Restore the model")
    packed = evaluated.packed
    if embeddings != "as-evaluated":
        packed = with_embeddings(packed, evaluated.model, embeddings)
    with new_folder(target) as folder:
        weights = write_checkpoint(
            folder, kind, packed, evaluated.model, evaluated.tokenizer, _facts(record, embeddings)
        )
        clock.lap("Write")
        size = FileSize(
            total=weights.stat().st_size,
            header=header_bytes(weights),
            predicted=predicted_bytes(kind, record.result.sizes, packed, evaluated.model),
            original=record.result.sizes.whole_original_bits // 8,
        )
        comparison = _compare(folder, kind, packed, evaluated, reporter)
        clock.lap("Reload and compare")
        text = card_text(record, kind, embeddings, target.name, size, comparison)
        write_atomic(folder / CARD, text)
    return Export(
        record=record,
        kind=kind,
        embeddings=embeddings,
        folder=target,
        files=tuple(sorted(target.iterdir())),
        size=size,
        comparison=comparison,
        stages=clock.stages,
    )


def _compare(
    folder: Path, kind: Format, packed: PackedModel, evaluated: Evaluated, reporter: Reporter
) -> Comparison:
    """Reload the folder in a fresh process and compare.

    Raises:
        MpqError: E-EXPORT when an exact format does not give back exactly what was written.
    """
    texts, length = evaluated.texts(REVIEWS), min(evaluated.max_length, TOKENS)
    state = packed.state()
    for _ in reporter.track([folder], "Reload in a fresh process", 1):
        with Reload(folder, kind, sorted(state), texts, length) as process:
            before = written = logits_of(evaluated.model, evaluated.tokenizer, texts, length)
            if FORMATS[kind].exact and packed is not evaluated.packed:
                written = logits_of(_with_state(evaluated.model, state), evaluated.tokenizer, texts, length)
            reloaded = process.result()
    change = float((reloaded.logits - before).abs().max())
    difference = float((reloaded.logits - written).abs().max())
    identical = reloaded.fingerprint == weights_fingerprint(state)
    if FORMATS[kind].exact and (difference or not identical):
        raise MpqError(
            "E-EXPORT",
            f"The reloaded model differs from the evaluated one (logits by up to {difference:g}).",
            "Nothing was kept. Try another format, and report it.",
        )
    return Comparison(
        reviews=len(texts),
        max_difference=difference,
        identical=identical,
        max_change=change,
        same_predictions=int((reloaded.logits.argmax(1) == before.argmax(1)).sum()),
    )


def _with_state(model: nn.Module, state: dict[str, Any]) -> nn.Module:
    changed = copy.deepcopy(model)
    changed.load_state_dict(state)
    return changed


def _facts(record: EvaluationRecord, embeddings: Embeddings) -> dict[str, Any]:
    result = record.result
    return {
        "model": Path(result.setting.model_name).name if result.setting.model_name else "",
        "revision": record.revision,
        "bits": list(result.allocation.bits),
        "quantizer": result.config.quantizer,
        "embeddings": embeddings,
        "evaluated_fingerprint": result.weights_fingerprint,
        "accuracy": result.final.accuracy,
    }
