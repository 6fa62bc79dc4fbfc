"""The offer to export, after an evaluation."""

import textwrap
from pathlib import Path

from bert_mpq.export.folder import check_target
from bert_mpq.export.formats import DEFAULT, FORMATS, Embeddings, Format
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.ui.commands.export import export_and_show
from bert_mpq.ui.execution import Execution, Finished
from bert_mpq.ui.wizard.prompts import Back, Option, ask_text, choose, problem_of

EMBEDDINGS: dict[Embeddings, tuple[str, str]] = {
    "as-evaluated": ("as evaluated (recommended)", "The model whose figures are above, bit by bit"),
    "fp16": ("float16", "Half of float32, next to no difference"),
    "int8": ("int8", "A quarter of float32, a small difference"),
}


def act(finished: Finished, execution: Execution) -> None:
    """Ask for format, embeddings and folder; export; raises what ``export_model`` raises."""
    result, record = finished.quantization.result, finished.quantization.files[1]
    name = choose("Which format?", _formats(result), DEFAULT, code="E-EXPORT", hint="Take another plan.")
    if isinstance(name, Back):
        return
    rows = _embeddings(result, FORMATS[name])
    embeddings = choose("How are the embeddings stored?", rows, "as-evaluated")
    if isinstance(embeddings, Back):
        return
    to = ask_text("Folder to make", _problem, f"exported-{record.stem.removeprefix('eval_')}")
    if isinstance(to, Back):
        return
    export_and_show(str(record), to, name, embeddings, execution)
    execution.output.print()


def _formats(result: EvaluationResult) -> list[Option]:
    return [
        Option(
            title=name,
            value=name,
            description=each.title,
            disabled=_refusal(result, each, "as-evaluated"),
        )
        for name, each in FORMATS.items()
    ]


def _embeddings(result: EvaluationResult, file_format: Format) -> list[Option]:
    return [
        Option(title=title, value=name, description=text, disabled=_refusal(result, file_format, name))
        for name, (title, text) in EMBEDDINGS.items()
    ]


def _refusal(result: EvaluationResult, file_format: Format, embeddings: Embeddings) -> str:
    """Return in few words why a format cannot hold this; "" when it can."""
    reason = problem_of(lambda: file_format.check(result, embeddings))
    return textwrap.shorten(reason, 52, placeholder="...")


def _problem(text: str) -> str:
    return problem_of(lambda: check_target(Path(text))) if text.strip() else "Give the name of a folder"
