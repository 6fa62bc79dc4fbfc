"""The model card of an exported folder: plan, figures before and after, how to load it, what to know."""

from pathlib import Path

from bert_mpq.export.formats import Format
from bert_mpq.export.result import FileSize, ReloadComparison, RuntimeFigures
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import SENSITIVITIES
from bert_mpq.records.template import render
from bert_mpq.settings import flags
from bert_mpq.sources.embedded.bases import EMBEDDED

TEMPLATE = Path(__file__).with_name("card.md.jinja")
FIGURES = ("accuracy", "precision", "recall", "f1")


def card_text(
    result: EvaluationResult,
    file_format: Format,
    folder: str,
    size: FileSize,
    comparison: ReloadComparison,
    runtime: RuntimeFigures | None = None,
) -> str:
    """Return the text of README.md, metadata block included."""
    return render(
        TEMPLATE,
        metadata=_metadata(result),
        result=result,
        figures=FIGURES,
        format=file_format,
        folder=folder,
        size=size,
        comparison=comparison,
        runtime=runtime,
        widths=", ".join(map(str, sorted(set(result.allocation.bits), reverse=True))),
        command=_command(result),
    )


def _command(result: EvaluationResult) -> str:
    """Return the command that repeats the evaluation, without the folders of the machine it ran on."""
    config = result.config.replace(
        output=".",
        sensitivities=f"{SENSITIVITIES}/{result.sensitivities.file_name}",
        model=_without_folders(result.config.model),
        data=_without_folders(result.config.data),
    )
    return flags.command_line("quantize", config)


def _without_folders(name: str) -> str:
    return Path(name).name if Path(name).is_absolute() else name


def _metadata(result: EvaluationResult) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    setting = result.setting
    evaluated = [
        EvalResult(
            task_type="text-classification",
            task_name="Sentiment analysis",
            dataset_type=setting.data_name,
            dataset_name=setting.data_word,
            dataset_split="test" if result.sample.split == "TEST set" else "train",
            metric_type=name,
            metric_value=round(getattr(result.final, name), 6),
        )
        for name in FIGURES
    ]
    data = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=_base_model(setting.model_name),
        license="apache-2.0" if setting.model_name in EMBEDDED else None,
        datasets=[setting.data_name] if "/" in setting.data_name else None,
        tags=["bert-mpq", "mixed-precision", "quantization"],
        metrics=list(FIGURES),
        model_name=f"{setting.model_title}, mixed precision",
        eval_results=evaluated,
    )
    return str(data.to_yaml()).strip()


def _base_model(name: str) -> str | None:
    if name in EMBEDDED:
        return EMBEDDED[name].repository
    return name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else None
