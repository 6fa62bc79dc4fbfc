"""The offer to export, after an evaluation."""

import textwrap
from pathlib import Path

from bert_mpq.export.folder import check_target
from bert_mpq.export.formats import DEFAULT, FORMATS, Activations, Format
from bert_mpq.export.formats.onnx import Onnx
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.ui.commands.bench import bench_and_show
from bert_mpq.ui.commands.export import export_and_show
from bert_mpq.ui.execution import Execution
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.prompts import Back, Option, ask_text, choose, confirm, problem_of, rows_of

ACTIVATIONS = rows_of(
    ("float32 (recommended)", "fp32", "Exactly the model whose figures are above"),
    ("int8", "int8", "Faster; another model, evaluated before it is kept"),
)


def act(finished: Finished, execution: Execution) -> None:
    """Ask for format and folder; export; raises what ``export_model`` raises."""
    result, record = finished.quantization.result, finished.quantization.files[1]
    name = choose("Which format?", _formats(result), DEFAULT, code="E-EXPORT", hint="Take another plan.")
    if isinstance(name, Back):
        return
    activations: Activations = "fp32"
    if name == Onnx.name:
        activations = choose("Which activations?", ACTIVATIONS, "fp32")
        if isinstance(activations, Back):
            return
    to = ask_text("Folder to make", _problem, f"exported-{record.stem.removeprefix('eval_')}")
    if isinstance(to, Back):
        return
    export_and_show(str(record), to, name, execution, activations)
    execution.output.print()
    if confirm("Measure speed and memory here, beside FP32?", default=False) is True:
        bench_and_show([to], result.setting.model_name, execution)


def _formats(result: EvaluationResult) -> list[Option]:
    return rows_of(*((name, name, each.title, _refusal(result, each)) for name, each in FORMATS.items()))


def _refusal(result: EvaluationResult, file_format: Format) -> str:
    """Return in few words why a format cannot hold this; "" when it can."""
    reason = problem_of(lambda: file_format.check(result))
    return textwrap.shorten(reason, 52, placeholder="...")


def _problem(text: str) -> str:
    return problem_of(lambda: check_target(Path(text))) if text.strip() else "Give the name of a folder"
