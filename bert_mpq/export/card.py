"""The model card of an exported folder: plan, figures before and after, how to load it, what to know."""

from pathlib import Path

from bert_mpq.export.formats import FORMATS, Embeddings, Format
from bert_mpq.export.result import Comparison, FileSize
from bert_mpq.records.evaluation import Accuracy
from bert_mpq.records.files import SENSITIVITIES
from bert_mpq.records.numbers import score_text
from bert_mpq.records.reading import EvaluationRecord
from bert_mpq.settings import flags
from bert_mpq.sources.embedded.bases import EMBEDDED

WIDTHS = {"fp16": "float16", "int8": "int8, groups of 64"}


def card_text(
    record: EvaluationRecord,
    kind: Format,
    embeddings: Embeddings,
    folder: str,
    size: FileSize,
    comparison: Comparison,
) -> str:
    """Return the text of README.md, metadata block included.

    Args:
        record: the evaluation.
        kind: the format.
        embeddings: what is stored of the embedding tables.
        folder: name of the folder, for the example.
        size: of the safetensors file.
        comparison: the reload.
    """
    from huggingface_hub import ModelCard

    sections = [
        _heading(record, folder),
        ["## Load it", "", *_loading(kind, folder)],
        ["## Figures", "", *_figures(record)],
        ["## Bits per encoder layer", "", *_plan(record, embeddings)],
        ["## Size", "", *_size(size, comparison)],
        ["## Good to know", "", *_caveats(kind, embeddings)],
        ["## How it was made", "", "```", _command(record), "```"],
    ]
    body = "\n\n".join("\n".join(section) for section in sections)
    return str(ModelCard(f"---\n{_metadata(record)}\n---\n\n{body}\n"))


def _command(record: EvaluationRecord) -> str:
    """Return the command that repeats the evaluation, without the folders of the machine it ran on."""
    result = record.result
    config = result.config.replace(
        output=".", sensitivities=f"{SENSITIVITIES}/{result.sensitivities.file_name}"
    )
    if Path(config.model).is_absolute():
        config = config.replace(model=Path(config.model).name)
    if Path(config.data).is_absolute():
        config = config.replace(data=Path(config.data).name)
    return flags.command_line("quantize", config)


def _metadata(record: EvaluationRecord) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    result = record.result
    after = result.final
    data_name = result.setting.data_name
    evaluated = [
        EvalResult(
            task_type="text-classification",
            task_name="Sentiment analysis",
            dataset_type=data_name,
            dataset_name=result.setting.data_word,
            dataset_split="test" if result.sample.split == "TEST set" else "train",
            metric_type=name,
            metric_value=round(value, 6),
        )
        for name, value in _metrics(after).items()
    ]
    data = ModelCardData(
        language="en",
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=_base_model(result.setting.model_name),
        license="apache-2.0" if result.setting.model_name in EMBEDDED else None,
        datasets=[data_name] if "/" in data_name else None,
        tags=["bert-mpq", "mixed-precision", "quantization"],
        metrics=list(_metrics(after)),
        model_name=f"{result.setting.model_title}, mixed precision",
        eval_results=evaluated,
    )
    return str(data.to_yaml()).strip()


def _base_model(name: str) -> str | None:
    if name in EMBEDDED:
        return EMBEDDED[name].repository
    return name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else None


def _metrics(accuracy: Accuracy) -> dict[str, float]:
    return {
        "accuracy": accuracy.accuracy,
        "precision": accuracy.precision,
        "recall": accuracy.recall,
        "f1": accuracy.f1,
    }


def _heading(record: EvaluationRecord, folder: str) -> list[str]:
    result = record.result
    trained = ", then trained" if result.trained else ""
    widths = ", ".join(map(str, sorted(set(result.allocation.bits), reverse=True)))
    return [
        f"# {folder}",
        "",
        f"{result.setting.model_title}, its encoder weights quantized to {widths} bits, layer by"
        f" layer{trained} ({result.sizes.bits_per_weight:.2f} bits per encoder weight, scales"
        " included). A sentiment classifier: label 0 is negative, 1 is positive.",
    ]


def _loading(kind: Format, folder: str) -> list[str]:
    needs = FORMATS[kind].needs
    return [
        f"Needs `transformers`{f' and `{needs}`' if needs else ''}.",
        "",
        "```python",
        "from transformers import AutoTokenizer",
        *FORMATS[kind].loading.format(folder=folder).splitlines(),
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        "```",
    ]


def _figures(record: EvaluationRecord) -> list[str]:
    result = record.result
    before, after = _metrics(result.before), _metrics(result.final)
    agreement = result.trained.agreement if result.trained else result.agreement
    rows = [
        f"| {name} | {before[name]:.4f} | {after[name]:.4f} | {100 * (after[name] - before[name]):+.2f} pp |"
        for name in before
    ]
    return [
        f"{result.sample.size:,} reviews of {result.setting.data_name} ({result.sample.split}), at most"
        f" {result.setting.max_length} tokens each.",
        "",
        "| | FP32 | quantized | change |",
        "|---|---|---|---|",
        *rows,
        f"| loss | {result.before.loss:.4f} | {result.final.loss:.4f} | |",
        "",
        f"Both predict the same for {agreement:.2%} of the reviews.",
    ]


def _plan(record: EvaluationRecord, embeddings: Embeddings) -> list[str]:
    result = record.result
    stored = WIDTHS.get(embeddings, "as evaluated")
    rows = [
        f"| layer_{index} | {bits} | {score_text(score)} |"
        for index, (bits, score) in enumerate(
            zip(result.allocation.bits, result.sensitivities.values, strict=True)
        )
    ]
    return [
        f"Allocation: {result.allocation.method}; embeddings: {stored}; pooler, classifier, LayerNorms and"
        " biases: float32.",
        "",
        "| layer | bits | sensitivity |",
        "|---|---|---|",
        *rows,
    ]


def _size(size: FileSize, comparison: Comparison) -> list[str]:
    exact = "bit by bit the same" if comparison.identical else "rounded to float16"
    return [
        f"* {size.total:,} bytes on disk, {size.header:,} of them header. The FP32 model takes"
        f" {size.original:,} bytes, {size.ratio:.2f} times as much; in float16 {size.ratio / 2:.2f} times.",
        f"* Reloaded in a fresh process, the weights are {exact}; on {comparison.reviews} reviews the logits"
        f" differ from the evaluated model's by at most {comparison.max_change:g}, and"
        f" {comparison.same_predictions} predictions are the same.",
    ]


def _caveats(kind: Format, embeddings: Embeddings) -> list[str]:
    notes = {
        "mpq": [
            "* Saves disk space and download time. In memory the weights are float32 again: no less memory,"
            " no more speed.",
        ],
        "compressed-tensors": [
            "* Saves disk space and download time. The first forward pass unpacks the weights to float32: no"
            " less memory, no more speed.",
            "* Copy the folder to pass it on. `save_pretrained` of the loaded model writes the unpacked"
            " weights with a config.json that still calls them packed.",
            "* Do not load it with `CompressedTensorsConfig(dequantize=True)`: that expects one width for"
            " the whole model.",
        ],
        "dense-fp16": [
            "* Every weight is rounded to float16 once more: close to what was evaluated, not the same.",
            "* config.json asks for float32, so that it runs on every CPU; pass `dtype=torch.float16` for"
            " half the memory on a GPU.",
        ],
    }
    if embeddings in WIDTHS:
        changed = (
            f"* The embeddings are stored as {WIDTHS[embeddings]}, narrower than the figures were measured"
        )
        return [*notes[kind], f"{changed} with; see the difference of the logits above."]
    return notes[kind]
