"""The offer to type a review, and see what the FP32 and the quantized model say of it."""

from typing import TYPE_CHECKING

from rich.table import Table

from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views.tables import plain_table
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.prompts import Back, ask_text

if TYPE_CHECKING:
    from bert_mpq.runs.classify import Classification


def act(finished: Finished, execution: Execution) -> None:
    """Ask for reviews until Esc, and show both answers side by side.

    Raises:
        MpqError: what ``evaluated_model`` raises.
    """
    text = _ask()
    if isinstance(text, Back):
        return
    with execution.reporter() as reporter:
        from bert_mpq.records.reading import read_evaluation
        from bert_mpq.runs.classify import TorchClassifier, classify
        from bert_mpq.runs.evaluated_model import evaluated_model

        record = read_evaluation(finished.quantization.files[1])
        evaluated = evaluated_model(record, execution.session, reporter)
    models = [
        TorchClassifier(model, evaluated.tokenizer, evaluated.max_length)
        for model in (evaluated.original, evaluated.model)
    ]
    while not isinstance(text, Back):
        before, after = (classify(model, [text])[0] for model in models)
        execution.output.print(_side_by_side(before, after))
        text = _ask()


def _ask() -> str | Back:
    answer: str | Back = ask_text("A review", lambda text: "" if text.strip() else "Type a sentence or two")
    return answer


def _side_by_side(before: "Classification", after: "Classification") -> Table:
    """Return the answers of the FP32 and of the quantized model."""
    table = plain_table("", "FP32", "quantized", "difference", left=("",))
    same = "the same" if before.label == after.label else "another"
    table.add_row("label", before.label, after.label, same)
    change = 100 * (after.positive - before.positive)
    shares = [f"{100 * each.positive:.2f} %" for each in (before, after)]
    table.add_row("probability of positive", *shares, f"{change:+.2f} points")
    return table
