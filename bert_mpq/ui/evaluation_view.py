"""Phase 2's results: the allocation, the figures before and after, and what to try next."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bert_mpq.artifacts.evaluation_files import megabytes, relative_drop
from bert_mpq.results import EvaluationResult
from bert_mpq.ui.views import heading, plain_table


def evaluation_views(result: EvaluationResult) -> list[RenderableType]:
    """Return the allocation, the figures, what the sizes mean, and advice."""
    notes = [
        f"{result.sizes.bits_per_weight:.2f} bits per encoder weight, scales included; 1 MB = 1024^2 bytes.",
        "Sizes are computed: fake quantization makes no smaller file and is not faster.",
    ]
    return [
        heading("Bit allocation"),
        _allocation(result),
        heading(f"Evaluation on {result.sample.size:,} reviews ({result.sample.split})"),
        _figures(result),
        heading("Size"),
        _sizes(result),
        *map(Text, [*notes, *advice(result)]),
    ]


def advice(result: EvaluationResult) -> list[str]:
    """Return what to try next, by the rules of the original tool's guide."""
    drop = relative_drop(result)
    if drop > 0.05:
        return ["The drop is over 5 %: give the sensitive groups more bits (32 instead of 16)."]
    if drop > 0.03:
        return ["The drop is over 3 %: give more bits; quantization-aware training would be next."]
    if drop > 0.02:
        groups = len(result.allocation.group_bits)
        return [f"The drop is over 2 %: try {'4 groups' if groups < 4 else 'more bits'}."]
    return []


def _allocation(result: EvaluationResult) -> Table:
    table = plain_table()
    for name in ("Layer", "Score", "Group", "Bits"):
        table.add_column(name, justify="left" if name == "Layer" else "right", no_wrap=True)
    allocation = result.allocation
    for index, score in enumerate(result.sensitivities.values):
        bits = f"{allocation.bits[index]}{' (protected)' if index in allocation.protected else ''}"
        table.add_row(f"layer_{index}", f"{score:.6f}", str(allocation.groups[index]), bits)
    return table


def _figures(result: EvaluationResult) -> Table:
    before, after = result.before, result.after
    table = plain_table()
    table.add_column("", no_wrap=True)
    for name in ("FP32", f"{'/'.join(map(str, result.allocation.group_bits))} mix", "Change"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, old, new in (
        ("Accuracy", before.accuracy, after.accuracy),
        ("Precision", before.precision, after.precision),
        ("Recall", before.recall, after.recall),
        ("F1", before.f1, after.f1),
    ):
        table.add_row(name, f"{old:.4f}", f"{new:.4f}", f"{100 * (new - old):+.2f} pp")
    table.add_row("Same prediction", "", f"{result.agreement:.4f}", "")
    return table


def _sizes(result: EvaluationResult) -> Table:
    """Return the size of every part, the whole, and the figure that papers quote."""
    sizes = result.sizes
    table = plain_table()
    table.add_column("", no_wrap=True)
    for name in ("FP32", "Quantized", "Ratio"):
        table.add_column(name, justify="right", no_wrap=True)

    def add(name: str, before: int, after: int) -> None:
        ratio = f"{before / after:.2f}x" if after else ""
        table.add_row(name, f"{megabytes(before):.1f} MB", f"{megabytes(after):.1f} MB", ratio)

    add("Encoder weights", sizes.original_bits, sizes.quantized_bits)
    add("  without scales (as in the paper)", sizes.original_bits, sizes.nominal_bits)
    add("Embeddings", 32 * sizes.embedding_weights, sizes.embedding_bits)
    add("LayerNorms and biases", sizes.norm_bits, sizes.norm_bits)
    add("Pooler and classifier", sizes.head_bits, sizes.head_bits)
    table.add_section()
    add("Whole model", sizes.whole_original_bits, sizes.whole_bits)
    add("  over FP16", sizes.whole_original_bits // 2, sizes.whole_bits)
    return table
