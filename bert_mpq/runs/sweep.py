"""The benchmark table of the original tool's guide, and beside each row the exact optimum at its size."""

import time
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import EVALUATION, prepare_folder, write_new
from bert_mpq.records.sensitivity_file import sensitivity_path
from bert_mpq.runs.phase_1 import Analysis, analyse
from bert_mpq.runs.phase_2 import quantize_and_evaluate
from bert_mpq.runs.plan import Plan, make_plan
from bert_mpq.runs.session import Session
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.metrics import METRICS, Metric, titles_of

PROBE_BITS = (4, 2, 3, 8)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A row of the guide's table.

    Args:
        name: as the guide calls it.
        metrics: the metrics the guide names; the first decides.
        bits: bits per group, most sensitive group first.
    """

    name: str
    metrics: tuple[Metric, ...]
    bits: tuple[int, ...]


PRESETS = (
    Preset(name="Conservative", metrics=("pwcca",), bits=(16, 8, 4)),
    Preset(name="Moderate", metrics=("pwcca", "cka"), bits=(16, 8, 4, 2)),
    Preset(name="Aggressive", metrics=("svcca",), bits=(8, 4, 2, 2)),
)


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One evaluation of the sweep.

    Args:
        name: preset, or the preset it has the size of.
        metric: scores behind the allocation, in words.
        result: what was measured.
    """

    name: str
    metric: str
    result: EvaluationResult


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The rows, and what Phase 1 measured for them."""

    analysis: Analysis
    rows: tuple[SweepRow, ...]


def sweep(config: RunConfig, reporter: Reporter | None = None, session: Session | None = None) -> Sweep:
    """Run Phase 1 once and Phase 2 for every row; all artifacts are written as usual.

    Args:
        config: model, data, sizes, clustering, quantizer; metrics, bits and target are the table's.
        reporter: shows the progress.
        session: remembers what the runs share.

    Raises:
        UsageError: E-CONFIG, the clustering is ``budget``.
        MpqError: what the phases raise; E-SCORE when a metric of the table has no valid score.
    """
    if config.clustering == "budget":
        raise UsageError("E-CONFIG", "A sweep sets a clustering beside budgets.", "Use --clustering kmeans.")
    reporter, session = reporter or Silent(), session or Session()
    first = _first_phase(config)
    plan = make_plan(first, "run")
    analysis = analyse(first, reporter, session, plan)
    folder = analysis.files[-1].parent
    widths = analysis.deciding_file(first.replace(clustering="budget", target="4bits"))
    rows = []
    for preset in PRESETS:
        scores = next(scores for scores in analysis.result.scores if scores.metric == preset.metrics[0])
        if not scores.usable:
            title = METRICS[scores.metric].title
            raise MpqError("E-SCORE", f"{title} has no valid score for every layer.", "Take more reviews.")
        second = config.replace(
            bits=preset.bits, sensitivities=str(sensitivity_path(folder, analysis.result, scores.metric))
        )
        reporter.note(f"{preset.name}: {'/'.join(map(str, preset.bits))}")
        result = _evaluated(second, plan, reporter, session)
        rows.append(SweepRow(name=preset.name, metric=titles_of(preset.metrics), result=result))
        # The target is cut to what a user can type, never above the size of the row.
        size = int(1000 * result.sizes.bits_per_weight) / 1000
        optimum = config.replace(clustering="budget", target=f"{size:.3f}bits", sensitivities=str(widths))
        reporter.note(f"{preset.name}: the optimum at {size:.3f} bits per weight")
        best = _evaluated(optimum, plan, reporter, session)
        words = METRICS[optimum.score].title
        rows.append(SweepRow(name=f"{preset.name}, optimum", metric=words, result=best))
    return Sweep(analysis=analysis, rows=tuple(rows))


def _first_phase(config: RunConfig) -> RunConfig:
    metrics = tuple(dict.fromkeys(metric for preset in PRESETS for metric in preset.metrics))
    return config.replace(metrics=metrics, probe_bits=config.probe_bits or PROBE_BITS)


def _evaluated(config: RunConfig, plan: Plan, reporter: Reporter, session: Session) -> EvaluationResult:
    second = make_plan(config, "quantize", plan.sources)
    return quantize_and_evaluate(config, reporter, session, second).result


def markdown(sweep: Sweep) -> str:
    """Return the guide's table, its columns first, then the whole model and the bits of every layer."""
    first = sweep.rows[0].result
    base = f"{first.before.accuracy:.4f}"
    lines = [
        "| Config | Calib | Metric | Clusters | Bits | FP32 Acc | Quant Acc | Drop | Compression |"
        " Whole model | Bits of each layer |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"| Baseline | - | - | - | 32 | {base} | - | - | 1.00x | 1.00x | |",
    ]
    for row in sweep.rows:
        result = row.result
        change = result.final.accuracy - result.before.accuracy
        cells = [
            row.name,
            f"{sweep.analysis.result.sample.size:,}",
            row.metric,
            "-" if result.allocation.method == "budget" else str(len(result.allocation.group_bits)),
            "/".join(map(str, result.allocation.group_bits)),
            base,
            f"{result.final.accuracy:.4f}",
            f"{100 * change:+.2f} pp",
            f"{result.sizes.ratio:.2f}x",
            f"{result.sizes.whole_ratio:.2f}x",
            " ".join(map(str, result.allocation.bits)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_sweep(sweep: Sweep, output: str) -> Path:
    """Write the table as ``Evaluation/sweep_{time}.md``; raises MpqError E-READONLY or E-DISK."""
    folder = prepare_folder(output, EVALUATION)
    return write_new(folder, f"sweep_{time.strftime('%Y%m%d_%H%M%S')}", ".md", markdown(sweep))
