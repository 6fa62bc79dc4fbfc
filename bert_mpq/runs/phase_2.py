"""Phase 2: quantize, and evaluate before and after."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.compute import distributed
from bert_mpq.compute.checkpoints import Checkpoints
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.forward import memory_errors
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.export.kept_weights import keep_weights
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.records.evaluation import BitAllocation, EvaluationResult
from bert_mpq.records.evaluation_report import evaluation_stem, evaluation_text, report_path
from bert_mpq.records.files import EVALUATION, prepare_folder, write_atomic, write_new
from bert_mpq.records.run_record import record_text
from bert_mpq.runs.accuracy_search import check_outline, smallest_accurate
from bert_mpq.runs.plan import Plan, make_plan
from bert_mpq.runs.quantize import calibration_for, quantize
from bert_mpq.runs.session import Clock, Prepared, Session
from bert_mpq.runs.training import evaluate_trained, prepare_training, train
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.quantizers import quantizers_for
from bert_mpq.sources.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Phase 2's result and the files it wrote."""

    result: EvaluationResult
    files: tuple[Path, ...]


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
    work = session.prepare(plan, "evaluation", clock, reporter)
    allocation = _allocation(plan, work, session, clock, reporter)
    setup = prepare_training(plan, allocation, work, session, reporter)
    calibration = calibration_for(plan, allocation.bits, work.machine, session, reporter)
    if calibration is not None:
        clock.lap("Read for GPTQ")
    quantized = quantize(config, allocation, work.classifier, calibration and calibration[0], reporter)
    clock.lap("Quantize")
    before = session.baseline(work, reporter, checkpoints)
    clock.lap("Evaluate FP32")
    after = session.quantized(quantized.model, work, reporter, checkpoints)
    clock.lap("Evaluate quantized")
    trained, final = None, quantized
    if setup is not None:
        retrained = train(setup, work, quantized, reporter)
        clock.lap("Train")
        trained = evaluate_trained(setup, retrained, before, work, reporter, checkpoints)
        final = retrained.quantized
        clock.lap("Evaluate trained")
    budget = min(before.batches.budget, after.batches.budget)
    largest = max(before.batches.largest, after.batches.largest)
    result = EvaluationResult(
        config=config,
        setting=session.setting(plan, work.machine, budget),
        sample=session.sample(plan, "evaluation", work.tokens, work.fingerprint, largest),
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
    files = distributed.on_first(lambda: _write(result, work.classifier, final))
    return Quantization(result=result, files=files)


def _allocation(
    plan: Plan, work: Prepared, session: Session, clock: Clock, reporter: Reporter
) -> BitAllocation:
    """Return the bits of the plan; searched for where it names an accuracy."""
    if plan.budget is not None:
        check_outline(plan.budget, work.classifier.model)
    if plan.allocation is not None:
        return plan.allocation
    allocation = smallest_accurate(plan, session, work.classifier, work.machine, reporter)
    clock.lap("Search for the accuracy")
    return allocation


def _write(result: EvaluationResult, classifier: Classifier, final: QuantizedModel) -> tuple[Path, ...]:
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
