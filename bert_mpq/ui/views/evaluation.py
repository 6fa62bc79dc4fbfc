"""Phase 2's results: the allocation, the figures before and after, and what to try next."""

from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.numbers import megabytes, score_text
from bert_mpq.records.sizes import SizeReport
from bert_mpq.records.template import render
from bert_mpq.settings.metrics import METRICS, title_of
from bert_mpq.settings.quantizers import is_symmetric
from bert_mpq.ui.views.panels import heading
from bert_mpq.ui.views.tables import plain_table

TEMPLATE = Path(__file__).with_name("evaluation.jinja")
FIGURES = ("accuracy", "precision", "recall", "f1")


def evaluation_views(result: EvaluationResult) -> list[RenderableType]:
    """Return the allocation, the figures, what the sizes mean, and advice."""
    notes = render(
        TEMPLATE, sizes=result.sizes, trained=result.trained, refinement=result.refinement
    ).splitlines()
    notes += filter(None, [embeddings_advice(result.sizes)])
    return [
        heading("Bit allocation"),
        _allocation(result),
        heading(f"Evaluation on {result.sample.size:,} reviews ({result.sample.split})"),
        _figures(result),
        heading("Size"),
        size_table(result.sizes),
        *map(Text, [*notes, *advice(result)]),
    ]


def embeddings_advice(sizes: SizeReport) -> str:
    """Return what 8-bit embeddings would come to; "" where the tables are a third of the model or less."""
    if not sizes.wide_embeddings:
        return ""
    smaller = f"{megabytes(sizes.whole_bits - sizes.bits_saved_by_int8):.1f} MB"
    share = f"{100 * sizes.embedding_share:.0f} %"
    return f"Embeddings are {share} of the model. With --embeddings int8 it takes {smaller}."


def advice(result: EvaluationResult) -> list[str]:
    """Return what to try next, by the guide to the script this tool replaces; of a model that works alone."""
    if not result.works:
        larger = max(result.sample.positive, result.sample.size - result.sample.positive)
        return [
            f"The FP32 model is right on {result.before.correct:,} of {result.sample.size:,} reviews;"
            f" always saying the more frequent label would be on {larger:,}."
            " These figures say nothing about bits."
        ]
    drop = result.relative_drop(result.final)
    if drop > 0.05:
        return [f"The drop is over 5 %. Try, in this order: {'; '.join(_remedies(result))}."]
    if drop > 0.03:
        if result.trained:
            return ["The drop is over 3 % even after training: give more bits, or train more epochs."]
        return ["The drop is over 3 %: give more bits, or train the quantized model (--qat-epochs 1)."]
    if drop > 0.02:
        groups = len(result.allocation.group_bits)
        return [f"The drop is over 2 %: try {'4 groups' if groups < 4 else 'more bits'}."]
    return []


def _remedies(result: EvaluationResult) -> list[str]:
    """Return what the guide tries after a large drop, less what this run has done."""
    groups, budget = result.allocation.group_bits, result.allocation.method == "budget"
    example = " (32 instead of 16)" if groups[0] == 16 else ""
    done = {
        "--quantizer auto": is_symmetric(result.config.quantizer),
        "a larger --target": not budget,
        f"more bits for the sensitive groups{example}": budget or groups[0] > 16,
        "4 groups": budget or len(groups) > 3,
        "more calibration reviews": False,
        "the scores of another metric": False,
        "training after it (--qat-epochs 1)": result.trained is not None,
    }
    return [remedy for remedy, tried in done.items() if not tried]


def _allocation(result: EvaluationResult) -> Table:
    score_title = title_of(result.sensitivities.metric, "Score")
    allocation = result.allocation
    grouped = ["Group"] if allocation.granularity == "layer" else []
    table = plain_table("Layer", score_title, *grouped, "Bits", left=("Layer",))
    for index, (score, bits) in enumerate(zip(result.sensitivities.values, allocation.texts, strict=True)):
        group = [str(allocation.groups[index]) for _ in grouped]
        protected = " (protected)" if index in allocation.protected else ""
        table.add_row(f"layer_{index}", score_text(score), *group, f"{bits}{protected}")
    return table


def _figures(result: EvaluationResult) -> Table:
    before, after, trained = result.before, result.after, result.trained
    bits = "/".join(map(str, result.allocation.group_bits))
    quantized = [("PTQ" if trained else f"{bits} mix", after, result.agreement, result.kl)]
    if trained:
        quantized.append(("QAT", trained.accuracy, trained.agreement, trained.kl))
    corner = f"{bits} mix" if trained else ""
    table = plain_table(corner, "FP32", *(name for name, *_ in quantized), "Change", left=(corner,))
    for name in FIGURES:
        values = [getattr(each, name) for each in (before, *(accuracy for _, accuracy, *_ in quantized))]
        change = f"{100 * (values[-1] - values[0]):+.2f} pp"
        table.add_row(name.capitalize(), *(f"{value:.4f}" for value in values), change)
    table.add_row("Same prediction", "", *(f"{agreement:.4f}" for _, _, agreement, _ in quantized), "")
    if result.kl is not None:
        divergences = (score_text(kl) for *_, kl in quantized if kl is not None)
        table.add_row(METRICS["kl"].loss_title, "", *divergences, "")
    return table


def size_table(sizes: SizeReport) -> Table:
    """Return the size of every part, the whole, and the figure that papers quote."""
    table = plain_table("", "FP32", "Quantized", "Ratio", left=("",))

    def add(name: str, before: int, after: int) -> None:
        ratio = f"{before / after:.2f}x" if after else ""
        table.add_row(name, f"{megabytes(before):.1f} MB", f"{megabytes(after):.1f} MB", ratio)

    add("Encoder weights", sizes.original_bits, sizes.quantized_bits)
    add("  as the paper counts", sizes.original_bits, sizes.nominal_bits)
    add("Embeddings", 32 * sizes.embedding_weights, sizes.embedding_bits)
    add("LayerNorms and biases", sizes.norm_bits, sizes.norm_bits)
    add("Pooler and classifier", sizes.head_bits, sizes.head_bits)
    table.add_section()
    add("Whole model", sizes.whole_original_bits, sizes.whole_bits)
    add("  over FP16", sizes.whole_original_bits // 2, sizes.whole_bits)
    return table
