"""The table of the guide to the script this tool replaces; beside each row the exact optimum at its size."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.decision import decide
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.files import EVALUATION, prepare_folder, write_atomic, write_new
from bert_mpq.records.template import render
from bert_mpq.runs import phase_1, phase_2
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_few
from bert_mpq.runs.make_plan import plan_quantization
from bert_mpq.runs.phase_1 import Analysis
from bert_mpq.runs.plan import PRESETS, Preset, QuantizationPlan, SweepPlan
from bert_mpq.runs.session import Session
from bert_mpq.settings.metrics import METRICS, Metric, titles_of

TEMPLATE = Path(__file__).with_name("sweep.md.jinja")


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """One evaluation of the sweep.

    Args:
        name: preset, or the preset it has the size of.
        metrics: what decided the allocation, in words: several metrics where they lead to the same bits.
    """

    name: str
    metrics: str
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


def run(plan: SweepPlan, reporter: Reporter, session: Session) -> WrittenSweep:
    """Run Phase 1 once and Phase 2 for every row; all artifacts are written as usual.

    The table is written to ``Evaluation/sweep_{time}.md`` after every row: a run that is stopped leaves it.

    Args:
        plan: model, data, sizes, clustering, quantizer; metrics, bits and target are the table's.

    Raises:
        MpqError: what the phases raise; E-SCORE when a metric of the table has no valid score; E-READONLY or
            E-DISK.
    """
    with memory_errors():
        check_few(Job(plan=plan, reporter=reporter, session=session, clock=session.clock))
    analysis = phase_1.run(plan.first, reporter, session)
    decision = decide(analysis.result)
    reporter.note(decision.sentence)
    rows: tuple[SweepRow, ...] = ()
    file: Path | None = None
    for preset in PRESETS:
        part = _Part(plan=plan, analysis=analysis, reporter=reporter, session=session, preset=preset)
        for row in part.rows(decision.metric):
            rows = (*rows, row)
            file = _write(file, Sweep(analysis=analysis, rows=rows), plan.config.output)
    if file is None:
        raise ValueError("a sweep has rows")
    return WrittenSweep(sweep=Sweep(analysis=analysis, rows=rows), file=file)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The part of the table that belongs to one preset."""

    plan: SweepPlan
    analysis: Analysis
    reporter: Reporter
    session: Session
    preset: Preset

    def rows(self, deciding: Metric) -> Iterator[SweepRow]:
        """Yield a row for each allocation, and after each new size the optima of that size."""
        sizes = set()
        for metrics, planned in self._clusterings(deciding):
            row = self._row(self.preset.name, titles_of(metrics), planned)
            yield row
            # The target is cut to what a user can type, never above the size of the row.
            size = f"{int(1000 * row.result.sizes.bits_per_weight) / 1000:.3f}bits"
            if size not in sizes:
                sizes.add(size)
                yield from self._optima(size)

    def _clusterings(self, deciding: Metric) -> list[tuple[list[Metric], QuantizationPlan]]:
        """Return the allocations by the metrics of the table and by the deciding one, each once."""
        found: list[tuple[list[Metric], QuantizationPlan]] = []
        for metric in dict.fromkeys((*self.preset.metrics, deciding)):
            file = self.analysis.file_of(decide(self.analysis.result, [metric]))
            planned = self._planned(bits=self.preset.bits, sensitivities=str(file))
            alike = [metrics for metrics, other in found if other.allocation == planned.allocation]
            if alike:
                alike[0].append(metric)
            else:
                found.append(([metric], planned))
        return found

    def _optima(self, size: str) -> Iterator[SweepRow]:
        file = str(self.analysis.width_scores_file)
        changes = {"clustering": "budget", "target": size, "sensitivities": file, "refine": 0}
        for granularity, words in (("layer", "optimum"), ("linear", "optimum per matrix")):
            planned = self._planned(**changes, granularity=granularity)
            yield self._row(f"{self.preset.name}, {words}", METRICS[planned.config.score].title, planned)

    def _row(self, name: str, metrics: str, planned: QuantizationPlan) -> SweepRow:
        self.reporter.note(f"{name}, {metrics}: {planned.config.target or planned.config.bits}")
        result = phase_2.run(planned, self.reporter, self.session).result
        return SweepRow(name=name, metrics=metrics, result=result)

    def _planned(self, **changes: Any) -> QuantizationPlan:
        return plan_quantization(self.plan.config.replace(**changes), self.plan.sources)


def markdown(sweep: Sweep) -> str:
    """Return the guide's table, its columns first, then the whole model and the bits of every layer."""
    return render(TEMPLATE, sweep=sweep)


def _write(file: Path | None, sweep: Sweep, output: str) -> Path:
    """Write the table, into a new file where there is none yet."""
    text = markdown(sweep)
    if file is not None:
        return write_atomic(file, text)
    stem = f"sweep_{time.strftime('%Y%m%d_%H%M%S')}"
    return write_new(prepare_folder(output, EVALUATION), stem, ".md", text)
