"""All a script needs: ``analyse`` (Phase 1), ``quantize_and_evaluate`` (Phase 2) and ``run`` (both)."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from bert_mpq import distributed, flags
from bert_mpq.artifacts.evaluation_files import evaluation_stem, evaluation_text, report_path
from bert_mpq.artifacts.files import EVALUATION, SENSITIVITIES, prepare_folder, write_atomic, write_new
from bert_mpq.artifacts.records import record_text
from bert_mpq.artifacts.sensitivity_files import check_scores, sensitivity_path, write_sensitivities
from bert_mpq.artifacts.width_files import PREFIX, write_width_scores
from bert_mpq.checkpoints import Checkpoints
from bert_mpq.config import RunConfig
from bert_mpq.export.evaluated import keep_weights
from bert_mpq.export.packed import weights_fingerprint
from bert_mpq.planning import Plan, make_plan
from bert_mpq.probing import Probe
from bert_mpq.quantization.modules import QuantizedModel
from bert_mpq.quantization.sizes import outline_of
from bert_mpq.quantizer import needs_calibration, quantizers_for
from bert_mpq.quantizing import calibration_for, quantize
from bert_mpq.reporting import Reporter, Silent
from bert_mpq.results import EvaluationResult, SensitivityResult
from bert_mpq.searching import check_outline, smallest_accurate
from bert_mpq.sensitivity import Stability, measure, score, width_tables
from bert_mpq.session import Clock, Session
from bert_mpq.sources.classifiers import Classifier
from bert_mpq.sources.forward import memory_errors
from bert_mpq.training_phase import evaluate_trained, prepare_training, train
from bert_mpq.width_scores import WidthScores


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Phase 1's result and the files it wrote."""

    result: SensitivityResult
    files: tuple[Path, ...]
    width_scores: WidthScores | None = None  # where several widths were probed

    def deciding_file(self, config: RunConfig) -> Path:
        """Return the file that decides the allocation of a full run: the scores at several widths for a
        budget, else the sensitivity file of the first metric.

        Raises:
            MpqError: E-SCORE when that metric has no valid score for every layer.
        """
        if config.clustering == "budget":
            return next(path for path in self.files if path.name.startswith(PREFIX))
        scores = self.result.scores[0]
        check_scores(scores)
        return sensitivity_path(self.files[-1].parent, self.result, scores.metric)


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Phase 2's result and the files it wrote."""

    result: EvaluationResult
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class FullRun:
    """Both phases."""

    analysis: Analysis
    quantization: Quantization


def analyse(
    config: RunConfig,
    reporter: Reporter | None = None,
    session: Session | None = None,
    plan: Plan | None = None,
) -> Analysis:
    """Phase 1: score every encoder layer and write JSON, TXT and the run record.

    Args:
        config: what to run.
        reporter: shows progress; default none.
        session: remembers what several runs share.
        plan: what ``make_plan(config, ...)`` returned, if it has been called already.

    Raises:
        MpqError: any of its codes. A metric without a valid score for every layer is no error here: it is in
            the result and the run record with its status, and has no sensitivity file.
    """
    distributed.join()
    reporter, session = reporter or Silent(), session or Session()
    if config.clustering == "budget":
        config = config.replace(probe_bits=config.widths)
    config = flags.relevant("sensitivity", config)
    plan = plan or make_plan(config, "sensitivity")
    with session.checkpoints(config, SENSITIVITIES, reporter) as checkpoints, memory_errors():
        return _analyse(config, reporter, session, plan, checkpoints)


def _analyse(
    config: RunConfig, reporter: Reporter, session: Session, plan: Plan, checkpoints: Checkpoints
) -> Analysis:
    clock = Clock()
    machine = session.machine(config)
    classifier = session.classifier(plan, reporter)
    clock.lap("Load the model")
    tokens, fingerprint = session.tokens(plan, "calibration", reporter)
    clock.lap("Read and tokenize")
    batch_tokens = config.batch_tokens or machine.batch_tokens
    probe = Probe(
        scope=config.scope,
        pooling=config.pooling,
        bits=config.widths,
        quantizer=config.quantizer,
        group_size=config.group_size,
    )
    calibration = None
    if needs_calibration(config.quantizer, config.widths):
        calibration = session.gptq_calibration(plan, machine, reporter)
        clock.lap("Read for GPTQ")
    measurement = measure(
        classifier,
        tokens,
        probe,
        machine,
        batch_tokens,
        reporter,
        calibration=calibration and calibration[0],
        checkpoints=checkpoints,
        stability=Stability.of(config) if config.until_stable else None,
    )
    clock.skip()
    first = measurement.of_width(0)
    rows = "tokens" if config.pooling == "none" else "reviews"
    scoring = score(first, config.metrics, reporter, rows)
    widths = None
    if len(config.widths) > 1:
        widths = WidthScores(
            config=config,
            model_name=plan.sources.model.name,
            split=plan.sources.data.split_name("calibration"),
            reviews=measurement.used,
            outline=outline_of(classifier.model),
            widths=config.widths,
            tables=width_tables(measurement, config.metrics, reporter),
        )
    clock.lap("Score layers")
    result = SensitivityResult(
        config=config,
        setting=session.setting(plan, machine, measurement.batches.budget),
        sample=session.sample(
            plan, "calibration", tokens.head(measurement.used), fingerprint, measurement.batches.largest
        ),
        stopping=measurement.stopping,
        scores=scoring.scores,
        kl=first.kl,
        agreement=scoring.agreement,
        quantizers=quantizers_for(
            config.quantizer, config.widths, config.group_size, calibrated=calibration is not None
        ),
        gptq_sample=calibration and calibration[1],
        stages=(*clock.stages[:-1], *measurement.stages, *clock.stages[-1:]),
    )
    files = distributed.on_first(lambda: _write_analysis(result, widths, classifier.revision))
    return Analysis(result=result, files=files, width_scores=widths)


def quantize_and_evaluate(
    config: RunConfig,
    reporter: Reporter | None = None,
    session: Session | None = None,
    plan: Plan | None = None,
) -> Quantization:
    """Phase 2: allocate bits, quantize, evaluate before and after, write TXT and the run record.

    Args:
        config: what to run; ``sensitivities`` names the file to start from.
        reporter: shows progress; default none.
        session: remembers what several runs share, the FP32 evaluation among it.
        plan: what ``make_plan(config, ...)`` returned, if it has been called already.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    reporter, session = reporter or Silent(), session or Session()
    config = flags.relevant("quantize", config)
    plan = plan or make_plan(config, "quantize")
    with session.checkpoints(config, EVALUATION, reporter) as checkpoints, memory_errors():
        return _quantize_and_evaluate(config, reporter, session, plan, checkpoints)


def _quantize_and_evaluate(
    config: RunConfig, reporter: Reporter, session: Session, plan: Plan, checkpoints: Checkpoints
) -> Quantization:
    assert plan.sensitivities is not None
    clock = Clock()
    machine = session.machine(config)
    classifier = session.classifier(plan, reporter)
    clock.lap("Load the model")
    tokens, fingerprint = session.tokens(plan, "evaluation", reporter)
    clock.lap("Read and tokenize")
    if plan.budget is not None:
        check_outline(plan.budget, classifier.model)
    allocation = plan.allocation
    if allocation is None:
        allocation = smallest_accurate(plan, session, classifier, machine, reporter)
        clock.lap("Search for the accuracy")
    setup = prepare_training(plan, allocation, classifier, machine, session, reporter)
    calibration = calibration_for(plan, allocation, machine, session, reporter)
    if calibration is not None:
        clock.lap("Read for GPTQ")
    quantized = quantize(config, allocation, classifier, calibration and calibration[0], reporter)
    clock.lap("Quantize")
    batch_tokens = config.batch_tokens or machine.batch_tokens
    before = session.baseline(plan, classifier, tokens, machine, batch_tokens, reporter, checkpoints)
    clock.lap("Evaluate FP32")
    after = session.quantized(quantized.model, tokens, machine, batch_tokens, reporter, checkpoints)
    clock.lap("Evaluate quantized")
    trained, final = None, quantized
    if setup is not None:
        retrained = train(setup, classifier, quantized, machine, batch_tokens, reporter)
        clock.lap("Train")
        trained = evaluate_trained(
            setup, retrained, before, tokens, machine, batch_tokens, reporter, checkpoints
        )
        final = retrained.quantized
        clock.lap("Evaluate trained")
    result = EvaluationResult(
        config=config,
        setting=session.setting(plan, machine, min(before.batches.budget, after.batches.budget)),
        sample=session.sample(
            plan, "evaluation", tokens, fingerprint, max(before.batches.largest, after.batches.largest)
        ),
        sensitivities=plan.sensitivities,
        allocation=allocation,
        before=before.accuracy,
        after=after.accuracy,
        agreement=float((before.predictions == after.predictions).mean()),
        quantizers=quantizers_for(
            config.quantizer, allocation.bits, config.group_size, calibrated=calibration is not None
        ),
        gptq_sample=calibration and calibration[1],
        weights_fingerprint=weights_fingerprint(final.model.state_dict()),
        sizes=quantized.sizes,
        quantization_seconds=clock.seconds("Quantize"),
        trained=trained,
        stages=clock.stages,
    )
    files = distributed.on_first(lambda: _write_evaluation(result, classifier, final))
    return Quantization(result=result, files=files)


def run(
    config: RunConfig,
    reporter: Reporter | None = None,
    session: Session | None = None,
    plan: Plan | None = None,
) -> FullRun:
    """Both phases; the first metric of ``config.metrics`` decides the allocation.

    Args:
        config: what to run.
        reporter: shows progress; default none.
        session: remembers what several runs share.
        plan: what ``make_plan(config, "run")`` returned, if it has been called already.

    Raises:
        MpqError: any of its codes.
    """
    distributed.join()
    reporter, session = reporter or Silent(), session or Session()
    plan = plan or make_plan(config, "run")
    analysis = analyse(config, reporter, session, plan)
    second = config.replace(sensitivities=str(analysis.deciding_file(config)))
    quantization = quantize_and_evaluate(
        second, reporter, session, make_plan(second, "quantize", plan.sources)
    )
    return FullRun(analysis=analysis, quantization=quantization)


def _write_analysis(result: SensitivityResult, widths: WidthScores | None, revision: str) -> tuple[Path, ...]:
    folder = prepare_folder(result.config.output, SENSITIVITIES)
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    more = [write_width_scores(folder, widths, timestamp)] if widths else []
    record = write_new(folder, f"run_{timestamp}", ".json", record_text(result, timestamp, revision))
    files = [
        path
        for scores in result.scores
        if scores.usable
        for path in write_sensitivities(folder, result, scores)
    ]
    return (*files, *more, record)


def _write_evaluation(
    result: EvaluationResult, classifier: Classifier, final: QuantizedModel
) -> tuple[Path, ...]:
    folder = prepare_folder(result.config.output, EVALUATION)
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    stem = evaluation_stem(result, timestamp)
    kept: tuple[Path, ...] = ()
    # What reviews had a part in is slow to compute again, and comes out alike only on the same machine.
    if result.trained is not None or result.gptq_sample is not None:
        path = keep_weights(folder, stem, final, classifier.model, result.config.embeddings)
        kept, result = (path,), dataclasses.replace(result, weights_file=path.name)
    record = write_new(folder, stem, ".json", record_text(result, timestamp, classifier.revision))
    return write_atomic(report_path(record), evaluation_text(result, timestamp)), record, *kept
