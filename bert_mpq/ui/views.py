"""Results as tables and panels."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bert_mpq.artifacts.evaluation_files import megabytes, relative_drop
from bert_mpq.artifacts.sensitivity_files import METRIC_TITLES
from bert_mpq.errors import MpqError
from bert_mpq.planning import Plan
from bert_mpq.reporting import duration
from bert_mpq.results import EvaluationResult, Scores, SensitivityResult
from bert_mpq.ui.console import is_live, is_utf8

SCOPES = {
    "propagated": "after the last layer",
    "isolated": "layer by layer",
    "cumulative": "layer by layer, all quantized",
}


def plan_panel(plan: Plan, console: Console) -> RenderableType:
    """Return what is about to be run; nothing has been written yet."""
    config, sources = plan.config, plan.sources
    rows = [("Model", f"{sources.model.title}, {sources.model.layers} encoder layers")]
    if plan.calibration:
        metrics = " + ".join(METRIC_TITLES[metric] for metric in config.metrics)
        split = sources.data.split_name("calibration")
        rows += [
            ("Calibration", f"{plan.calibration:,} reviews, {config.sampling}; {split}"),
            ("Metrics", f"{metrics}, FP32 against a {config.probe_bits}-bit probe,"),
            ("", f"compared {SCOPES[config.scope]}"),
        ]
    if plan.evaluation:
        bits = ", ".join(map(str, config.bits))
        split = sources.data.split_name("evaluation")
        rows += [("Evaluation", f"{plan.evaluation:,} reviews, {config.sampling}; {split}")]
        if plan.sensitivities is not None:
            rows.append(("Scores", plan.sensitivities.file_name))
        rows.append(("Allocation", f"{config.clustering}, {len(config.bits)} groups, bits {bits}"))
        rows.append(("Quantizer", _quantizer(plan)))
    rows.append(("Device", config.device))
    folders = [
        name
        for size, name in ((plan.calibration, "Sensitivities/"), (plan.evaluation, "Evaluation/"))
        if size
    ]
    rows.append(("Writes", f"{' and '.join(folders)} in {config.output}"))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, Text(value))
    return _panel(Group(table, Text("Nothing has been written yet.")), "Plan", console)


def _quantizer(plan: Plan) -> str:
    config = plan.config
    if config.quantizer == "per-tensor":
        return "per-tensor (the original's, for comparison)"
    size = f"groups of {config.group_size}" if config.group_size else "one scale per channel"
    return f"{config.quantizer}, {size}"


def sensitivity_views(result: SensitivityResult, console: Console) -> list[RenderableType]:
    """Return a ranked table with bars per metric, the agreement of the metrics, and what to be wary of."""
    views: list[RenderableType] = [_score_table(result, scores, console) for scores in result.scores]
    pairs = [entry for entry in result.agreement if entry.spearman is not None]
    if pairs:
        views.append(Text("Rank agreement (Spearman; KL = damage to the logits)"))
        views += [
            Text(f"  {METRIC_TITLES[entry.first]} and {METRIC_TITLES[entry.second]}: {entry.spearman:+.2f}")
            for entry in pairs
        ]
    views += [Text(warning) for warning in _warnings(result)]
    return views


def _score_table(result: SensitivityResult, scores: Scores, console: Console) -> Table:
    kind = "KL of the logits" if scores.metric == "kl" else f"1 - {METRIC_TITLES[scores.metric]}"
    table = Table(
        title=f"Layer sensitivity, {kind} (higher = more fragile = more bits)",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    show_kl = bool(result.kl) and scores.metric != "kl" and console.width >= 72
    table.add_column("Rank", justify="right", no_wrap=True)
    table.add_column("Layer", no_wrap=True)
    table.add_column("Score", justify="right", no_wrap=True)
    if show_kl:
        table.add_column("KL of logits", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    longest = max(10, min(30, console.width - (50 if show_kl else 34)))
    largest = max((value for value in scores.values if value == value), default=0.0)
    order = sorted(range(len(scores.layers)), key=lambda index: -scores.values[index])
    for rank, index in enumerate(order, start=1):
        value = scores.values[index]
        cells = [str(rank), f"layer_{index}", f"{value:.6f}"]
        if show_kl:
            cells.append(f"{result.kl[index]:.6f}")
        table.add_row(*cells, bar(value, largest, longest, is_utf8(console)))
    return table


def bar(value: float, largest: float, length: int, blocks: bool) -> str:
    """Return a bar of at most ``length`` characters; eighths of a block where the console has them."""
    if not (largest > 0 and value == value):
        return ""
    if not blocks:
        return "#" * round(length * value / largest)
    eighths = round(8 * length * value / largest)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _warnings(result: SensitivityResult) -> list[str]:
    """Say in words every status that is not ok, once per metric."""
    lines = []
    for scores in result.scores:
        reasons = {layer.explanation: index for index, layer in reversed(list(enumerate(scores.layers)))}
        reasons.pop("", None)
        for reason, first in reasons.items():
            lines.append(f"{METRIC_TITLES[scores.metric]}, from layer_{first}: {reason}.")
    return lines


def allocation_table(result: EvaluationResult) -> Table:
    """Return layer, score, group and bits."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Bit allocation", title_justify="left")
    table.title_style = "bold"
    for name in ("Layer", "Score", "Group", "Bits"):
        table.add_column(name, justify="left" if name == "Layer" else "right", no_wrap=True)
    allocation = result.allocation
    for index, score in enumerate(result.sensitivities.values):
        kept = " (protected)" if index in allocation.protected else ""
        row = (
            f"layer_{index}",
            f"{score:.6f}",
            str(allocation.groups[index]),
            f"{allocation.bits[index]}{kept}",
        )
        table.add_row(*row)
    return table


def evaluation_views(result: EvaluationResult) -> list[RenderableType]:
    """Return the allocation, the figures before and after, what sizes mean, and advice."""
    before, after, sizes = result.before, result.after, result.sizes
    table = Table(
        title=f"Evaluation on {result.sample.size:,} reviews ({result.sample.split})",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
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
    notes = [
        f"{sizes.bits_per_weight:.2f} bits per encoder weight, scales included. Sizes are simulated (1 MB ="
        " 1024^2 bytes);",
        "fake quantization makes no smaller file and is not faster.",
    ]
    return [allocation_table(result), table, *map(Text, notes), *map(Text, advice(result))]


def advice(result: EvaluationResult) -> list[str]:
    """Return what to try next, by the rules of the original's guide."""
    drop = relative_drop(result)
    if drop > 0.05:
        return ["The drop is over 5 %: give the sensitive groups more bits (32 instead of 16)."]
    if drop > 0.03:
        return ["The drop is over 3 %: give more bits, or fine-tune the quantized model (QAT)."]
    if drop > 0.02:
        groups = len(result.allocation.group_bits)
        return [
            "The drop is over 2 %: try 4 groups." if groups < 4 else "The drop is over 2 %: try more bits."
        ]
    return []


def files_panel(files: Sequence[Path], seconds: float, console: Console) -> RenderableType:
    """Return the files that were written."""
    return _panel(Text("\n".join(map(str, files))), f"Done in {duration(seconds)}", console)


def print_repeat(command: str, console: Console) -> None:
    """Print the command outside any panel and unwrapped, so that it can be copied."""
    console.print("Repeat this run:")
    console.print(command, soft_wrap=True, markup=False)


def print_error(error: MpqError, console: Console) -> None:
    """Print an error: a panel on a terminal, two plain lines elsewhere."""
    hint = [f"hint: {error.hint}"] if error.hint else []
    if is_live(console):
        body = Text("\n".join([error.title, *([error.hint] if error.hint else [])]))
        console.print(_panel(body, error.code, console, style="red"))
        return
    for line in (f"error[{error.code}]: {error.title}", *hint):
        console.print(line, soft_wrap=True, markup=False)


def _panel(body: RenderableType, title: str, console: Console, style: str = "none") -> Panel:
    shape = box.ROUNDED if is_utf8(console) else box.ASCII
    return Panel(body, title=title, title_align="left", box=shape, expand=False, border_style=style)
