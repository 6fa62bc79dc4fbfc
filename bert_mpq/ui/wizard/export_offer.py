"""The offer to export, after an evaluation."""

import textwrap
from pathlib import Path

from bert_mpq.export.folder import check_target
from bert_mpq.export.formats import FORMATS, Embeddings, Format, check_format, command_line
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import is_symmetric
from bert_mpq.ui.execution import Execution, Finished, run_export
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.prompts import Option, ask_text, choose
from bert_mpq.ui.wizard.steps import Back

EMBEDDINGS: dict[Embeddings, tuple[str, str]] = {
    "as-evaluated": ("as evaluated (recommended)", "The model whose figures are above, bit by bit"),
    "fp16": ("float16", "Half of float32, next to no difference"),
    "int8": ("int8", "A quarter of float32, a small difference"),
}


def applies(finished: Finished) -> bool:
    """Return whether there is an evaluation to export."""
    return finished.quantization is not None


def act(finished: Finished, execution: Execution) -> None:
    """Ask for format, embeddings and folder; export.

    Raises:
        MpqError: what ``export_model`` raises.
    """
    assert finished.quantization is not None
    result, record = finished.quantization.result, finished.quantization.files[1]
    kind = choose("Which format?", _formats(result), "mpq", code="E-EXPORT", hint="Take another plan.")
    if isinstance(kind, Back):
        return
    embeddings = choose("How are the embeddings stored?", _embeddings(result, kind), "as-evaluated")
    if isinstance(embeddings, Back):
        return
    to = ask_text("Folder to make", _problem, f"exported-{record.stem.removeprefix('eval_')}")
    if isinstance(to, Back):
        return
    run_export(str(record), to, kind, embeddings, execution)
    views.print_repeat(command_line(str(record), to, kind, embeddings), execution.output)
    execution.output.print()


def _formats(result: EvaluationResult) -> list[Option]:
    return [
        Option(
            title=kind,
            value=kind,
            description=facts.title,
            disabled=_refusal(result, kind, "as-evaluated"),
        )
        for kind, facts in FORMATS.items()
    ]


def _embeddings(result: EvaluationResult, kind: Format) -> list[Option]:
    return [
        Option(title=title, value=name, description=text, disabled=_refusal(result, kind, name))
        for name, (title, text) in EMBEDDINGS.items()
    ]


def _refusal(result: EvaluationResult, kind: Format, embeddings: Embeddings) -> str:
    """Return in few words why a format cannot hold this; "" when it can."""
    asymmetric = not is_symmetric(result.config.quantizer)
    try:
        check_format(kind, result.allocation.bits, asymmetric, embeddings)
    except MpqError as error:
        return textwrap.shorten(error.title.rstrip("."), 52, placeholder="...")
    return ""


def _problem(text: str) -> str:
    if not text.strip():
        return "Give the name of a folder"
    try:
        check_target(Path(text))
    except MpqError as error:
        return error.title.rstrip(".")
    return ""
