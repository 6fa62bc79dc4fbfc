"""Sensitivities with intervals, bits per layer, and accuracy against size, in one figure."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_mpq.records.files import write_atomic
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.reading import list_analyses
from bert_mpq.records.sensitivity import AnalysisResult, Scores
from bert_mpq.runs.compare import ComparedGroup, ComparedRun, Comparison, compare
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.paths import user_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_RUNS = 8
PANEL = 3.2  # inches
INK, GRAY = "#1f4e79", "#8a8a8a"
# Of the metrics, in the order they were measured in.
COLOURS = ("#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0", "#c00000", "#00796b", "#595959")


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a figure or a page shows: the evaluations of a folder, and its newest Phase 1 if any."""

    comparison: Comparison
    sensitivity: AnalysisResult | None


def collect(folder: Path | str) -> Material:
    """Read the results in ``folder``.

    Raises:
        MpqError: E-NOFILE when there is neither a run of Phase 1 nor an evaluation.
    """
    analyses = list_analyses(folder)
    comparison = compare(folder)
    if not analyses and not comparison.groups:
        raise MpqError("E-NOFILE", f"No results in {user_path(folder)}/.", "Run Phase 1 or Phase 2 first.")
    return Material(comparison=comparison, sensitivity=analyses[0].result if analyses else None)


def write_plot(path: Path | str, material: Material) -> Path:
    """Draw ``material`` and write it as PNG (150 dots per inch) or SVG, by the suffix of ``path``.

    Raises:
        UsageError: E-CONFIG, the name ends in neither .png nor .svg.
        MpqError: E-EXTRA without matplotlib; E-READONLY or E-DISK.
    """
    file = user_path(path)
    kind = file.suffix.lower()
    if kind not in (".png", ".svg"):
        raise UsageError("E-CONFIG", f"{file.name} is no name for a plot.", "Let it end in .png or .svg.")
    return write_atomic(file, draw(material, kind.removeprefix(".")))


def draw(material: Material, kind: str) -> bytes:
    """Return the figure as the bytes of a ``png`` or ``svg`` file; raises MpqError E-EXTRA."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MpqError(
            "E-EXTRA", "Plots need matplotlib.", "pip install 'bert-mpq[plot]' brings it."
        ) from error
    groups = [group for group in material.comparison.groups if group.runs]
    heights = [PANEL] if material.sensitivity is not None else []
    for group in groups:
        heights += [PANEL, 0.8 + 0.32 * min(len(group.runs), SHOWN_RUNS)]
    stream = io.BytesIO()
    # Text stays text in an SVG, and the same figure is the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "bert-mpq", "font.size": 9}):
        figure = Figure(figsize=(8.0, sum(heights)), layout="constrained")
        grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
        axes = iter(grid[:, 0])
        if material.sensitivity is not None:
            draw_sensitivities(next(axes), material.sensitivity)
        for group in groups:
            draw_accuracy(next(axes), group)
            draw_bits(next(axes), group)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    return stream.getvalue()


def draw_sensitivities(axes: "Axes", result: AnalysisResult) -> None:
    """Draw one row of bars per layer: every metric over its own largest value, with its 95 % interval."""
    shown = [scores for scores in result.scores if scores.usable]
    width = 0.8 / max(1, len(shown))
    for index, scores in enumerate(shown):
        largest = max(scores.values) or 1.0
        places = [layer + (index - (len(shown) - 1) / 2) * width for layer in range(len(scores.layers))]
        axes.bar(
            places,
            [value / largest for value in scores.values],
            width,
            yerr=_errors(scores, largest),
            color=COLOURS[index % len(COLOURS)],
            error_kw={"elinewidth": 0.8, "capsize": 2},
            label=f"{METRICS[scores.metric].loss_title} (1 = {largest:.3g})",
        )
    _name_layers(axes, result.setting.layers)
    axes.set_ylabel("sensitivity / largest")
    axes.set_title(
        f"Sensitivity of {result.setting.model_title}, {result.config.widths[0]} bits,"
        f" {result.sample.size:,} reviews",
        loc="left",
    )
    axes.set_ylim(top=1.2 * axes.get_ylim()[1])  # room for the legend
    axes.legend(frameon=False, loc="upper left", ncols=4, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw_accuracy(axes: "Axes", group: ComparedGroup) -> None:
    """Draw accuracy against the size of the whole model, and the line of the Pareto-optimal runs."""
    small: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7}
    for run in group.runs:
        place = megabytes(run.whole_bits), 100 * run.accuracy
        color = INK if run.pareto else GRAY
        axes.plot(*place, "o" if run.pareto else "x", color=color)
        axes.annotate(_label(run), place, xytext=(5, 3), color=color, **small)
    best = sorted((run for run in group.runs if run.pareto), key=lambda run: run.whole_bits)
    axes.plot([megabytes(run.whole_bits) for run in best], [100 * run.accuracy for run in best], color=INK)
    before = 100 * group.before.accuracy
    axes.axhline(before, color=GRAY, linewidth=0.8, linestyle="--")
    text = f"FP32, {megabytes(group.whole_original_bits):.1f} MB"
    place = 1.0, before
    axes.annotate(text, place, xycoords=("axes fraction", "data"), xytext=(-3, 3), ha="right", **small)
    axes.margins(x=0.12, y=0.15)
    axes.set_xlabel("size of the whole model (MB)")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"{group.model}: {group.size:,} reviews, {group.split}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_bits(axes: "Axes", group: ComparedGroup) -> None:
    """Draw the bits of every layer as a table of colours: one row per run, best accuracy first."""
    runs = group.runs[:SHOWN_RUNS]
    widths = sorted({bits for run in runs for bits in run.bits})
    layers = len(runs[0].bits)
    rows = [[widths.index(bits) for bits in run.bits] for run in runs]
    edges = [layer - 0.5 for layer in range(layers + 1)], [row - 0.5 for row in range(len(runs) + 1)]
    axes.pcolormesh(*edges, rows, cmap="Blues", vmin=-1, vmax=len(widths) + 1, edgecolors="white")
    axes.invert_yaxis()
    for row, run in enumerate(runs):
        for layer, bits in enumerate(run.bits):
            axes.text(layer, row, f"{bits:.3g}", ha="center", va="center", fontsize=8)
    _name_layers(axes, layers)
    axes.set_yticks(range(len(runs)), [f"{_label(run)}, {100 * run.accuracy:.2f} %" for run in runs])
    axes.tick_params(length=0, labelsize=8)
    axes.set_title("Bits per layer", loc="left")
    axes.spines[:].set_visible(False)


def _label(run: ComparedRun) -> str:
    trained = " QAT" if run.trained else ""
    return f"{run.clustering} {'/'.join(map(str, run.group_bits))} {run.quantizer}{trained}"


def _errors(scores: Scores, largest: float) -> list[list[float]] | None:
    if any(layer.interval is None for layer in scores.layers):
        return None
    bounds = [(layer.value, layer.interval or (layer.value, layer.value)) for layer in scores.layers]
    below = [max(0.0, value - low) / largest for value, (low, _) in bounds]
    return [below, [max(0.0, high - value) / largest for value, (_, high) in bounds]]


def _name_layers(axes: "Axes", count: int) -> None:
    axes.set_xticks(range(count), [f"layer_{layer}" for layer in range(count)])
