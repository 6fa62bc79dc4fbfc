"""Phase 1: score every encoder layer."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.compute import distributed
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.files import RUN_PREFIX, SENSITIVITIES, WIDTHS_PREFIX, prepare_folder, write_new
from bert_mpq.records.run_record import record_text
from bert_mpq.records.sensitivity import AnalysisResult, Scores
from bert_mpq.records.sensitivity_file import check_scores, sensitivity_path, write_sensitivities
from bert_mpq.records.width_scores import MetricTable, WidthScores, write_width_scores
from bert_mpq.runs.job import Job, started
from bert_mpq.runs.plan import AnalysisPlan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.runs.session import Session
from bert_mpq.runs.table_losses import table_losses
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import score
from bert_mpq.sensitivity.stability import Stability
from bert_mpq.sensitivity.widths import width_tables
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.quantizers import for_probes, quantizers_for


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Phase 1's result and the files it wrote."""

    result: AnalysisResult
    files: tuple[Path, ...]
    width_scores: WidthScores | None = None  # where several widths were probed

    @property
    def width_scores_file(self) -> Path:
        """The scores at several widths, where these were probed."""
        return next(path for path in self.files if path.name.startswith(WIDTHS_PREFIX))

    def deciding_file(self, config: RunConfig) -> Path:
        """Return the file that decides the allocation of a full run: the scores at several widths for a
        budget, else the sensitivity file of the deciding metric.

        Raises:
            MpqError: E-SCORE when that metric has no valid score for every layer.
        """
        if config.clustering == "budget":
            return self.width_scores_file
        scores = self.deciding_scores(config)
        check_scores(scores)
        return sensitivity_path(self.files[-1].parent, self.result, scores.metric)

    def deciding_note(self, config: RunConfig) -> str:
        """Say which metric decides where it is not the first one, and why; "" where it is."""
        first = self.result.scores[0]
        scores = first if config.clustering == "budget" else self.deciding_scores(config)
        if scores is first:
            return ""
        decides, passed_over = (METRICS[entry.metric].title for entry in (scores, first))
        why = f"too few reviews for {passed_over}" if first.usable else f"{passed_over} has no valid scores"
        return f"{decides} decides the bits: {why}."

    def deciding_scores(self, config: RunConfig) -> Scores:
        """Return the scores of the first metric that has enough reviews; of the first one where none has.

        Not every metric may take over from the first. A run that stopped as soon as the allocation of its
        first metric was stable keeps to that.
        """
        first, *others = self.result.scores
        if config.until_stable:
            return first
        candidates = [first, *(scores for scores in others if METRICS[scores.metric].may_take_over)]
        return next((scores for scores in candidates if scores.enough_reviews), first)


def run(plan: AnalysisPlan, reporter: Reporter, session: Session) -> Analysis:
    """Score every encoder layer and write JSON, TXT and the run record.

    Raises:
        MpqError: any of its codes. A metric without a valid score for every layer is no error here: it is in
            the result and the run record with its status, and has no sensitivity file.
    """
    with started(plan, reporter, session) as job:
        return _run(job)


def _run(job: Job[AnalysisPlan]) -> Analysis:
    config, clock = job.plan.config, job.clock
    work = job.prepare("calibration")
    calibration = job.calibration(config.widths)
    measurement = measure(
        work.classifier,
        work,
        Probe.of(config),
        job.reporter,
        calibration=calibration,
        checkpoints=job.checkpoints,
        stability=Stability(config=config) if config.until_stable else None,
    )
    clock.skip()
    first = measurement.of_width(0)
    scoring = score(first, config.metrics, job.reporter, config.rows)
    widths = _width_scores(job, work, measurement, _of_linears(job, work, calibration))
    clock.lap("Score layers")
    used = dataclasses.replace(work, tokens=work.tokens.head(measurement.used))
    result = AnalysisResult(
        config=config,
        setting=work.setting(job.plan, measurement.batches.budget),
        sample=used.sample(measurement.batches.largest),
        stopping=measurement.stopping,
        scores=scoring.scores,
        kl=first.kl,
        agreement=scoring.agreement,
        quantizers=quantizers_for(
            for_probes(config.quantizer),
            config.widths,
            config.group_size,
            calibrated=calibration is not None,
        ),
        gptq_sample=None if calibration is None else calibration.planned_sample,
        stages=(*clock.stages[:-1], *measurement.stages, *clock.stages[-1:]),
    )
    files = distributed.on_first(lambda: _write(result, widths))
    return Analysis(result=result, files=files, width_scores=widths)


def _of_linears(
    job: Job[AnalysisPlan], work: Prepared, calibration: Prepared | None
) -> tuple[MetricTable, ...]:
    """Measure every Linear alone, where a budget is to give each bits of its own."""
    config = job.plan.config
    if config.granularity == "layer" or len(config.widths) < 2:
        return ()
    job.reporter.note("Every Linear alone:")
    probe = Probe.of(config, granularity="linear")
    measurement = measure(work.classifier, work, probe, job.reporter, calibration=calibration, blocks=1)
    return width_tables(measurement, config.metrics, job.reporter)


def _width_scores(
    job: Job[AnalysisPlan], work: Prepared, measurement: Measurement, linears: tuple[MetricTable, ...]
) -> WidthScores | None:
    """Return what a budget is planned from; None where one width was probed."""
    config, sources, classifier = job.plan.config, job.plan.sources, work.classifier
    if len(config.widths) < 2:
        return None
    return WidthScores(
        config=config,
        model_name=sources.model.name,
        revision=classifier.revision,
        encoder_fingerprint=classifier.encoder_fingerprint,
        split=sources.data.split_name("calibration"),
        reviews=measurement.used,
        outline=outline_of(classifier.model),
        widths=config.widths,
        tables=width_tables(measurement, config.metrics, job.reporter),
        linears=linears,
        embeddings=table_losses(job, work),
    )


def _write(result: AnalysisResult, widths: WidthScores | None) -> tuple[Path, ...]:
    folder = prepare_folder(result.config.output, SENSITIVITIES)
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    more = [write_width_scores(folder, widths, timestamp)] if widths else []
    record = write_new(folder, f"{RUN_PREFIX}{timestamp}", ".json", record_text(result, timestamp))
    files = [
        path
        for scores in result.scores
        if scores.usable
        for path in write_sensitivities(folder, result, scores)
    ]
    return (*files, *more, record)
