"""Sensitivities with intervals, bits per layer, and accuracy against size, in one figure."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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

SHOWN_RUNS = 16
PANEL = 3.2  # inches
INK, GRAY = "#1f4e79", "#6a6a6a"
# Of the metrics, in the order they were measured in. Hatches tell them apart in black and white.
COLOURS = ("#1f4e79", "#f4b183", "#a9d18e", "#7f6000", "#7030a0", "#c00000", "#00796b", "#595959")
HATCHES = ("", "///", "---", "xxx", "|||", "+++", "//--", "||xx")
TOP = 1.5  # of the axis of the sensitivities: an interval that reaches further is cut off


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
        heights += [PANEL, 0.8 + 0.25 * min(len(group.runs), SHOWN_RUNS)]
    stream = io.BytesIO()
    # Text stays text in an SVG, and the same figure is the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "bert-mpq", "font.size": 9}):
        figure = Figure(figsize=(8.0, sum(heights)), layout="constrained")
        # Each panel has margins of its own: the names in one do not take the width of the others.
        rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
        axes = (row.subplots() for row in rows[:, 0])
        if material.sensitivity is not None:
            draw_sensitivities(next(axes), material.sensitivity)
        for group in groups:
            draw_accuracy(next(axes), group)
            draw_bits(next(axes), group)
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    return stream.getvalue()


def draw_sensitivities(axes: "Axes", result: AnalysisResult) -> None:
    """Draw bars per layer: every metric over its own largest value, with its 95 % interval, and the KL."""
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
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="black",
            linewidth=0.4,
            error_kw={"elinewidth": 0.8, "capsize": 2},
            label=f"{METRICS[scores.metric].loss_title} (1 = {largest:.3g})",
        )
    if result.kl:
        largest = max(result.kl) or 1.0
        label = f"KL of the logits (1 = {largest:.3g})"
        places = [value / largest for value in result.kl]
        axes.plot(places, "D--", color="black", markersize=4, linewidth=0.8, label=label)
    _name_layers(axes, result.setting.layers)
    axes.set_ylabel("sensitivity / largest")
    axes.set_title(
        f"{result.setting.model_title}\nSensitivity at {result.config.widths[0]} bits,"
        f" {result.sample.size:,} reviews",
        loc="left",
    )
    axes.set_ylim(0.0, TOP)
    axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw_accuracy(axes: "Axes", group: ComparedGroup) -> None:
    """Draw accuracy against the size of the whole model, and the line of the Pareto-optimal runs.

    The numbers of the runs are those of the table below.
    """
    best = sorted((run for run in group.runs if run.pareto), key=lambda run: run.whole_bits)
    rest = [run for run in group.runs if not run.pareto]
    axes.plot(*_places(best), "o-", color=INK, label="no other run is as small and as accurate")
    axes.plot(*_places(rest), "x", color=GRAY, label="other runs")
    size = f"FP32, {megabytes(group.whole_original_bits):.1f} MB"
    axes.axhline(100 * group.before.accuracy, color=GRAY, linewidth=0.8, linestyle="--", label=size)
    axes.margins(x=0.12, y=0.15)
    _number(axes, group)
    axes.legend(frameon=False, fontsize=7)
    axes.set_xlabel("size of the whole model (MB)")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(f"{group.model}\nAccuracy on {group.size:,} reviews, {group.split}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_bits(axes: "Axes", group: ComparedGroup) -> None:
    """Draw the bits of every layer as a table of colours: one row per run, best accuracy first."""
    numbers, runs = zip(*_shown(group), strict=True)
    widths = sorted({bits for run in runs for bits in run.bits})
    layers = len(runs[0].bits)
    rows = [[widths.index(bits) for bits in run.bits] for run in runs]
    edges = [layer - 0.5 for layer in range(layers + 1)], [row - 0.5 for row in range(len(runs) + 1)]
    axes.pcolormesh(*edges, rows, cmap="Blues", vmin=-1, vmax=len(widths) + 1, edgecolors="white")
    axes.invert_yaxis()
    for row, run in enumerate(runs):
        for layer, bits in enumerate(run.bits):
            dark = widths.index(bits) > 0.6 * len(widths)
            color = "white" if dark else "black"
            axes.text(layer, row, f"{bits:.3g}", ha="center", va="center", fontsize=7, color=color)
    _name_layers(axes, layers)
    labels = [f"{_label(run)}, {100 * run.accuracy:.2f} %  {n}" for n, run in zip(numbers, runs, strict=True)]
    axes.set_yticks(range(len(runs)), labels)
    axes.tick_params(length=0, labelsize=7)
    axes.set_title("Bits per layer, the mean of its weight matrices", loc="left")
    axes.spines[:].set_visible(False)


def _shown(group: ComparedGroup) -> list[tuple[int, ComparedRun]]:
    """Return the runs that have room, with their numbers: the Pareto-optimal ones first, then the best."""
    numbered = sorted(enumerate(group.runs, 1), key=lambda entry: not entry[1].pareto)
    return sorted(numbered[:SHOWN_RUNS], key=lambda entry: entry[0])


def _places(runs: Sequence[ComparedRun]) -> tuple[list[float], list[float]]:
    return [megabytes(run.whole_bits) for run in runs], [100 * run.accuracy for run in runs]


def _number(axes: "Axes", group: ComparedGroup) -> None:
    """Write the number of every shown run beside its place, on the side that is farthest from all else."""
    taken = [tuple(place) for place in axes.transData.transform(list(zip(*_places(group.runs), strict=True)))]
    for number, run in _shown(group):
        (size,), (accuracy,) = _places([run])
        x, y = axes.transData.transform((size, accuracy))
        spots = [(x + right, y + up) for right, up in ((9, 0), (-9, 0), (0, 9), (0, -9), (8, 8), (-8, -8))]
        spot = max(spots, key=lambda spot: min(math.dist(spot, other) for other in taken if other != (x, y)))
        taken.append(spot)
        left, bottom = axes.transData.inverted().transform(spot)
        axes.text(left, bottom, str(number), ha="center", va="center", fontsize=7)


def _label(run: ComparedRun) -> str:
    trained = " QAT" if run.trained else ""
    embeddings = "" if run.embeddings == "fp32" else f", {run.embeddings} embeddings"
    return f"{run.clustering} {'/'.join(map(str, run.group_bits))} {run.quantizer}{trained}{embeddings}"


def _errors(scores: Scores, largest: float) -> list[list[float]] | None:
    if any(layer.interval is None for layer in scores.layers):
        return None
    bounds = [(layer.value, layer.interval or (layer.value, layer.value)) for layer in scores.layers]
    below = [max(0.0, value - low) / largest for value, (low, _) in bounds]
    return [below, [max(0.0, high - value) / largest for value, (_, high) in bounds]]


def _name_layers(axes: "Axes", count: int) -> None:
    axes.set_xticks(range(count), [str(layer) for layer in range(count)])
    axes.set_xlabel("encoder layer")
