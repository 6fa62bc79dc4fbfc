"""Plans, files and errors as panels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.records.numbers import duration
from bert_mpq.runs.plan import EvaluationPlan, Plan, QuantizationPlan
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import OFFERED
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import WidthQuantizer, for_probes, quantizers_for, reviews_for
from bert_mpq.ui.console import is_accessible, is_live, is_utf8
from bert_mpq.ui.views.tables import Pairs, template_rows

TEMPLATE = Path(__file__).with_name("plan.jinja")
SCOPE_WORDS = {
    "propagated": "after the last layer",
    "isolated": "layer by layer",
    "cumulative": "layer by layer, all quantized",
}


def plan_panel(plan: Plan, console: Console, time: str = "", size: str = "") -> RenderableType:
    """Return what is about to be run, the ``time`` it should take and the ``size`` that its bits come to."""
    config = plan.config
    bits: tuple[int, ...] = ()  # where they are known before the run
    layers: dict[str, list[int]] = {}
    tables = None if config.chooses_embeddings else config.embedding_precision  # None: not known before it
    if isinstance(plan, QuantizationPlan) and plan.allocation is not None:
        bits, layers = plan.allocation.bits, _layers_of(plan.allocation)
        tables = plan.allocation.embeddings or tables
    probed = config.widths if "calibration" in plan.reviews else ()
    final: tuple[int, ...] = ()
    if isinstance(plan, EvaluationPlan):
        final = bits or (config.widths if config.clustering == "budget" else config.bits)
    used = (
        *quantizers_for(for_probes(config.quantizer), probed, config.group_size),
        *quantizers_for(config.quantizer, final, config.group_size),
    )
    shown = template_rows(
        TEMPLATE,
        plan=plan,
        config=config,
        scopes=SCOPE_WORDS,
        layers_of=layers,
        quantizers=sorted(dict.fromkeys(used), key=lambda entry: -entry.bits),
        looked_at=_reviews(config, used),
        tables=tables,
        offered=OFFERED,
        accelerator=accelerator(),
        time=time,
        size=size,
    )
    table = Pairs(shown)
    return _panel(Group(table, Text("Nothing has been written yet.")), "Plan", console)


def _reviews(config: RunConfig, used: Iterable[WidthQuantizer]) -> list[str]:
    """Return the numbers of calibration reviews that the quantizers look at."""
    needy = (entry.algorithm for entry in used if entry.facts.without_reviews is not None)
    return [f"{count:,}" for count in sorted({reviews_for(name, config.gptq_reviews) for name in needy})]


def _layers_of(allocation: BitAllocation) -> dict[str, list[int]]:
    """Return the layers of each width, or of each row of widths, the widest first."""
    rows = list(zip(allocation.by_layer, allocation.texts, strict=True))
    widest_first = sorted(rows, key=lambda row: sum(row[0]) / len(row[0]), reverse=True)
    return {
        text: [layer for layer, each in enumerate(allocation.texts) if each == text]
        for _, text in widest_first
    }


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
    if is_live(console):
        body = Text("\n".join(filter(None, (error.title, error.hint))))
        console.print(_panel(body, error.code, console, style="red"))
        return
    console.print(f"error[{error.code}]: {error.title}", soft_wrap=True, markup=False)
    if error.hint:
        console.print(f"hint: {error.hint}", soft_wrap=True, markup=False)


def heading(text: str) -> Text:
    """Return a title line above a table; a table's own title would wrap at the width of the table."""
    return Text(text, style="bold")


def _panel(body: RenderableType, title: str, console: Console, style: str = "none") -> RenderableType:
    if is_accessible():
        return Group(Text(f"{title}:"), body)
    shape = box.ROUNDED if is_utf8(console) else box.ASCII
    return Panel(body, title=title, title_align="left", box=shape, expand=False, border_style=style)
