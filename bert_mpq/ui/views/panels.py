"""Plans, files and errors as panels."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.numbers import duration
from bert_mpq.runs.plan import EvaluationPlan, Plan, QuantizationPlan
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import METRICS, titles_of
from bert_mpq.settings.quantizers import needs_calibration, quantizers_for
from bert_mpq.sources.halves import Split
from bert_mpq.ui.console import is_live, is_utf8

SCOPES = {
    "propagated": "after the last layer",
    "isolated": "layer by layer",
    "cumulative": "layer by layer, all quantized",
}


def plan_panel(plan: Plan, console: Console, time: str = "") -> RenderableType:
    """Return what is about to be run and the ``time`` it should take; nothing has been written yet."""
    config, model = plan.config, plan.sources.model
    rows = [("Model", f"{model.title}, {model.layers} encoder layers")]
    if config.head_text:
        rows.append(("", f"head {config.head_text}"))
    rows += _analysis(plan)
    rows += _evaluation(plan) if isinstance(plan, EvaluationPlan) else []
    rows += _quantizer(plan)
    rows += _training(plan) if isinstance(plan, EvaluationPlan) else []
    rows.append(("Max length", f"{plan.max_length:,} tokens per review"))
    guess = f"{accelerator()} (auto)" if config.device == "auto" else config.device
    rows.append(("Device", guess))
    rows += [("Time", time)] if time else []
    folders = " and ".join(f"{folder}/" for folder in plan.folders)
    rows.append(("Writes", f"{folders} in {config.output}"))
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, Text(value))
    return _panel(Group(table, Text("Nothing has been written yet.")), "Plan", console)


def _reviews(plan: Plan, split: Split) -> str:
    return f"{plan.reviews[split]:,} reviews, {plan.config.sampling}; {plan.sources.data.split_name(split)}"


def _analysis(plan: Plan) -> list[tuple[str, str]]:
    """Return the rows of Phase 1, where it is run."""
    if "calibration" not in plan.reviews:
        return []
    config = plan.config
    metrics = titles_of(config.metrics)
    most = "until stable, at most " if config.until_stable else ""
    return [
        ("Calibration", f"{most}{_reviews(plan, 'calibration')}"),
        ("Metrics", f"{metrics}, FP32 against a probe of {_listed(config.widths)} bits,"),
        ("", f"compared {SCOPES[config.scope]}"),
    ]


def _evaluation(plan: EvaluationPlan) -> list[tuple[str, str]]:
    """Return the rows of Phase 2."""
    rows = [("Evaluation", _reviews(plan, "evaluation"))]
    if isinstance(plan, QuantizationPlan):
        rows.append(("Scores", plan.sensitivities.file_name))
    return [*rows, *_strategy(plan.config), *_layers(_bits(plan))]


def _training(plan: EvaluationPlan) -> list[tuple[str, str]]:
    if not plan.training:
        return []
    config = plan.config
    epochs = f"{config.qat_epochs} epoch{'s' if config.qat_epochs > 1 else ''}"
    rate = f"learning rate {config.qat_learning_rate:g}"
    return [
        ("Training", f"quantization-aware, up to {epochs}, {rate}"),
        ("", f"on {plan.training:,} reviews; {plan.sources.data.split_name('calibration')}"),
    ]


def _strategy(config: RunConfig) -> list[tuple[str, str]]:
    if config.clustering != "budget":
        bits = _listed(config.bits)
        return [("Allocation", f"{config.clustering}, {len(config.bits)} groups, bits {bits}")]
    rows = [("Allocation", f"budget, exact, for {config.target}; loss {METRICS[config.score].title}")]
    if config.goal.kind == "drop":
        rows.append(("", "found by evaluating plans on calibration reviews"))
    if config.pin:
        rows.append(("", f"pinned: {', '.join(config.pin)}"))
    if config.max_widths:
        rows.append(("", f"at most {config.max_widths} distinct widths"))
    return rows


def _listed(bits: Sequence[int]) -> str:
    return ", ".join(map(str, bits))


def _bits(plan: Plan) -> tuple[int, ...]:
    """Return the bits of each layer; none where they are yet to be found."""
    if isinstance(plan, QuantizationPlan) and isinstance(plan.allocation, BitAllocation):
        return plan.allocation.bits
    return ()


def _layers(bits: tuple[int, ...]) -> list[tuple[str, str]]:
    """Return a row per bit width with its layers."""
    by_bits: dict[int, list[str]] = {}
    for index, width in enumerate(bits):
        by_bits.setdefault(width, []).append(str(index))
    return [
        ("", f"{width:>2} bits: layer{'s' * (len(layers) > 1)} {', '.join(layers)}")
        for width, layers in sorted(by_bits.items(), reverse=True)
    ]


def _quantizer(plan: Plan) -> list[tuple[str, str]]:
    """Return what quantizes each width in words, and what GPTQ will look at."""
    config = plan.config
    widths = {*(config.widths if "calibration" in plan.reviews else ())}
    if isinstance(plan, EvaluationPlan):
        widths |= {*(_bits(plan) or (config.widths if config.clustering == "budget" else config.bits))}
    used = quantizers_for(config.quantizer, widths, config.group_size)
    rows = [("" if index else "Quantizer", entry.title) for index, entry in enumerate(used)]
    if needs_calibration(config.quantizer, widths):
        split = plan.sources.data.split_name("calibration")
        rows.append(("GPTQ on", f"{config.gptq_reviews:,} reviews; {split}"))
    if isinstance(plan, EvaluationPlan) and config.embeddings == "fp16":
        rows.append(("Embeddings", "rounded to float16"))
    return rows


def files_panel(files: Sequence[Path], seconds: float, console: Console) -> RenderableType:
    """Return the files that were written."""
    here = Path.cwd()
    names = [path.relative_to(here) if path.is_relative_to(here) else path for path in files]
    return _panel(Text("\n".join(map(str, names))), f"Done in {duration(seconds)}", console)


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


def heading(text: str) -> Text:
    """Return a title line above a table; a table's own title would wrap at the width of the table."""
    return Text(text, style="bold")


def plain_table() -> Table:
    """Return a table without frame."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _panel(body: RenderableType, title: str, console: Console, style: str = "none") -> Panel:
    shape = box.ROUNDED if is_utf8(console) else box.ASCII
    return Panel(body, title=title, title_align="left", box=shape, expand=False, border_style=style)
