"""Phase 1: score every encoder layer."""

import copy
import functools
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bert_mpq.compute import distributed
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.quantization.embeddings import round_tables
from bert_mpq.records.decision import Decision, decide
from bert_mpq.records.files import RUN_PREFIX, SENSITIVITIES, WIDTHS_PREFIX, prepare_folder, write_new
from bert_mpq.records.run_record import record_text
from bert_mpq.records.sensitivity import AnalysisResult
from bert_mpq.records.sensitivity_file import check_scores, sensitivity_path, write_sensitivities
from bert_mpq.records.width_scores import MetricTable, TableLosses, WidthScores, write_width_scores
from bert_mpq.runs.job import Job, started
from bert_mpq.runs.plan import AnalysisPlan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.runs.session import Session
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.predicted import PredictedDamage, predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import score
from bert_mpq.sensitivity.stability import Stability
from bert_mpq.sensitivity.twins import SharedTwins, Twins
from bert_mpq.sensitivity.widths import predicted_tables, width_tables
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.quantizers import for_probes, quantizers_for

TABLE_REVIEWS = 128  # enough for a loss that is compared with those of layers, and few beside a prediction


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
        return self.width_scores_file if config.clustering == "budget" else self.file_of(decide(self.result))

    def file_of(self, decision: Decision) -> Path:
        """Return the sensitivity file of a metric; raises MpqError E-SCORE where there is none."""
        check_scores(decision.scores)
        return sensitivity_path(self.files[-1].parent, self.result, decision.metric)


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
    calibration = job.calibration(config.widths, probes=True)
    twins = _twins(job, work, calibration)
    measurement = _measured(job, work, twins) if config.measured_widths else None
    if measurement is not None:
        clock.split(measurement.stages)
    used = work if measurement is None else replace(work, tokens=work.tokens.head(measurement.used))
    predicted = _predicted(job, used, twins) if config.predicts else None
    if predicted is not None:
        clock.split(predicted.stages)
    first = None if measurement is None else measurement.of_width(0)
    scoring = score(first, config.metrics, job.reporter, config.rows, predicted)
    widths = _width_scores(job, used, measurement, predicted, calibration)
    clock.lap("Score layers")
    passes = [each for each in (measurement, predicted) if each is not None]
    result = AnalysisResult(
        config=config,
        setting=work.setting(job.plan, passes[0].batches.budget),
        sample=used.sample(max(each.batches.largest for each in passes)),
        stopping=None if measurement is None else measurement.stopping,
        scores=scoring.scores,
        kl=() if first is None else first.kl,
        agreement=scoring.agreement,
        quantizers=quantizers_for(
            for_probes(config.quantizer),
            config.widths,
            config.group_size,
            calibrated=calibration is not None,
        ),
        gptq_sample=None if calibration is None else calibration.planned_sample,
        stages=clock.take(),
    )
    files = distributed.on_first(lambda: _write(result, widths))
    return Analysis(result=result, files=files, width_scores=widths)


def _twins(job: Job[AnalysisPlan], work: Prepared, calibration: Prepared | None) -> SharedTwins:
    config, model = job.plan.config, work.classifier.model
    make = functools.partial(Twins.of, model, Probe.of(config), calibration, job.reporter)
    return SharedTwins(make, passes=bool(config.measured_widths) + config.predicts)


def _measured(job: Job[AnalysisPlan], work: Prepared, twins: SharedTwins) -> Measurement:
    config = job.plan.config
    return measure(
        work.classifier,
        work,
        Probe.of(config, bits=config.measured_widths),
        job.reporter,
        checkpoints=job.checkpoints,
        stability=Stability(config=config) if config.until_stable else None,
        twins=twins,
    )


def _predicted(job: Job[AnalysisPlan], work: Prepared, twins: SharedTwins) -> PredictedDamage:
    model, probe = work.classifier.model, Probe.of(job.plan.config)
    return predict(model, work, probe, job.reporter, checkpoints=job.checkpoints, twins=twins)


def _of_linears(
    job: Job[AnalysisPlan], work: Prepared, calibration: Prepared | None
) -> tuple[MetricTable, ...]:
    """Measure every Linear alone, where a budget is to give each bits of its own by a measured loss."""
    config = job.plan.config
    if config.granularity == "layer" or not METRICS[config.score].measured:
        return ()
    job.reporter.note("Every Linear alone:")
    job.clock.lap("Score layers")
    probe = Probe.of(config, granularity="linear")
    measurement = measure(work.classifier, work, probe, job.reporter, calibration=calibration, blocks=1)
    job.clock.split(measurement.stages)
    return width_tables(measurement, config.metrics, job.reporter)


def _width_scores(
    job: Job[AnalysisPlan],
    work: Prepared,
    measurement: Measurement | None,
    predicted: PredictedDamage | None,
    calibration: Prepared | None,
) -> WidthScores | None:
    """Return what a budget is planned from; None where one width was probed."""
    config, sources = job.plan.config, job.plan.sources
    if len(config.widths) < 2 or predicted is None:
        return None
    tables = predicted_tables(predicted)
    if measurement is not None and measurement.widths == len(config.widths):
        tables = (*tables, *width_tables(measurement, config.metrics, job.reporter))
    return WidthScores(
        config=config,
        model_name=sources.model.name,
        revision=work.classifier.revision,
        encoder_fingerprint=work.classifier.encoder_fingerprint,
        split=sources.data.split_name("calibration"),
        reviews=len(work.tokens),
        outline=outline_of(work.classifier.model),
        widths=config.widths,
        tables=tables,
        linears=(*predicted_tables(predicted, "linear"), *_of_linears(job, work, calibration)),
        embeddings=_table_losses(job, work),
    )


def _table_losses(job: Job[AnalysisPlan], work: Prepared) -> TableLosses:
    """Return the KL of the logits when nothing but the embedding tables is kept in codes: three passes.

    Raises:
        MpqError: E-MODEL when a table cannot be kept in codes; E-MEMORY, E-DISTRIBUTED.
    """
    model, few = work.classifier.model, replace(work, tokens=work.tokens.head(TABLE_REVIEWS))
    before = job.evaluate(model, few, "Embeddings: FP32")

    def loss(precision: EmbeddingPrecision) -> float:
        narrower = copy.deepcopy(model)
        round_tables(narrower, precision)
        return max(0.0, job.evaluate(narrower, few, f"Embeddings: {precision}").divergence(before))

    return TableLosses(reviews=len(few.tokens), int8=loss("int8"), int4=loss("int4"))


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
