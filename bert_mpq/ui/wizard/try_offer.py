"""The offer to type a review, and see what the FP32 and the quantized model say of it."""

from bert_mpq.ui.execution import Execution
from bert_mpq.ui.views.classification import classification_view
from bert_mpq.ui.wizard.finished import Finished
from bert_mpq.ui.wizard.prompts import Back, ask_text


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
        execution.output.print(classification_view(before, after))
        text = _ask()


def _ask() -> str | Back:
    answer: str | Back = ask_text("A review", lambda text: "" if text.strip() else "Type a sentence or two")
    return answer
