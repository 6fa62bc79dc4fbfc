"""The table of the guide to the script this tool replaces; beside each row the exact optimum at its size."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.decision import decide
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import EVALUATION, prepare_folder, write_new
from bert_mpq.runs import phase_1, phase_2
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_few
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.phase_1 import Analysis
from bert_mpq.runs.plan import SweepPlan
from bert_mpq.runs.presets import PRESETS
from bert_mpq.runs.session import Session
from bert_mpq.settings.metrics import METRICS, titles_of


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One evaluation of the sweep.

    Args:
        name: preset, or the preset it has the size of.
        metric: scores that decided the allocation, in words.
    """

    name: str
    metric: str
    result: EvaluationResult


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The rows, and what Phase 1 measured for them."""

    analysis: Analysis
    rows: tuple[SweepRow, ...]


@dataclass(frozen=True, kw_only=True)
class WrittenSweep:
    """A sweep, and the file of its table."""

    sweep: Sweep
    file: Path


def run(plan: SweepPlan, reporter: Reporter, session: Session) -> Sweep:
    """Run Phase 1 once and Phase 2 for every row; all artifacts are written as usual.

    Args:
        plan: model, data, sizes, clustering, quantizer; metrics, bits and target are the table's.

    Raises:
        MpqError: what the phases raise; E-SCORE when a metric of the table has no valid score.
    """
    with memory_errors():
        check_few(Job(plan=plan, reporter=reporter, session=session))
    analysis = phase_1.run(plan.first, reporter, session)
    rows = []

    def evaluated(**changes: Any) -> EvaluationResult:
        second = plan_quantization(plan.config.replace(**changes), plan.sources)
        return phase_2.run(second, reporter, session).result

    for preset in PRESETS:
        decision = decide(analysis.result, preset.metrics)
        reporter.note(f"{preset.name}, {'/'.join(map(str, preset.bits))}: {decision.sentence}")
        result = evaluated(bits=preset.bits, sensitivities=str(analysis.file_of(decision)))
        others = [metric for metric in preset.metrics if metric != decision.metric]
        metric = METRICS[decision.metric].title + (f" (not {titles_of(others)})" if others else "")
        rows.append(SweepRow(name=preset.name, metric=metric, result=result))
        # The target is cut to what a user can type, never above the size of the row.
        size = int(1000 * result.sizes.bits_per_weight) / 1000
        reporter.note(f"{preset.name}: the optimum at {size:.3f} bits per weight")
        best = evaluated(
            clustering="budget",
            target=f"{size:.3f}bits",
            sensitivities=str(analysis.width_scores_file),
            refine=0,
        )
        loss = METRICS[best.config.score].title
        rows.append(SweepRow(name=f"{preset.name}, optimum", metric=loss, result=best))
    return Sweep(analysis=analysis, rows=tuple(rows))


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
            " ".join(result.allocation.texts),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def written(sweep: Sweep, output: str) -> WrittenSweep:
    """Write the table as ``Evaluation/sweep_{time}.md``; raises MpqError E-READONLY or E-DISK."""
    folder = prepare_folder(output, EVALUATION)
    stem = f"sweep_{time.strftime('%Y%m%d_%H%M%S')}"
    return WrittenSweep(sweep=sweep, file=write_new(folder, stem, ".md", markdown(sweep)))
