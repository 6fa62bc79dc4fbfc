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
    before, after, sizes = result.before, result.after, result.sizes
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
    for name, old_bits, new_bits, ratio in (
        ("Encoder weights", sizes.original_bits, sizes.quantized_bits, sizes.ratio),
        ("Whole model", sizes.whole_original_bits, sizes.whole_bits, sizes.whole_ratio),
    ):
        change = f"{ratio:.2f}x smaller"
        table.add_row(name, f"{megabytes(old_bits):.1f} MB", f"{megabytes(new_bits):.1f} MB", change)
    return table
