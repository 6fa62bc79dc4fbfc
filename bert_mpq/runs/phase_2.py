"""Phase 2: quantize, and evaluate before and after."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.checkpoints import pass_identity
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.export.layout import keep_weights
from bert_mpq.quantization.model import QuantizedModel, quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.evaluation import BitAllocation, EvaluationResult
from bert_mpq.records.evaluation_report import evaluation_stem, evaluation_text, report_path
from bert_mpq.records.files import EVALUATION, prepare_folder, write_atomic, write_new
from bert_mpq.records.refinement import Refinement
from bert_mpq.records.run_record import record_text
from bert_mpq.runs.accuracy_search import check_outline, smallest_accurate
from bert_mpq.runs.clock import Clock
from bert_mpq.runs.job import Job, started
from bert_mpq.runs.label_check import FEW, check_few, check_labels
from bert_mpq.runs.plan import QuantizationPlan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.runs.refinement import TITLE as REFINE
from bert_mpq.runs.refinement import refine
from bert_mpq.runs.session import Session
from bert_mpq.runs.training import prepare_training, train
from bert_mpq.settings.quantizers import quantizers_for
from bert_mpq.sources.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """Phase 2's result and the files it wrote."""

    result: EvaluationResult
    files: tuple[Path, ...]


def run(plan: QuantizationPlan, reporter: Reporter, session: Session) -> Quantization:
    """Quantize, evaluate before and after, train where the plan says so, write TXT and the run record.

    Raises:
        MpqError: any of its codes.
    """
    with started(plan, reporter, session) as job:
        return _run(job)


def _run(job: Job[QuantizationPlan]) -> Quantization:
    config, clock = job.plan.config, job.clock
    work = job.prepare("evaluation")
    model = work.classifier.model
    before = _baseline(job, work)
    allocation, refinement = allocate(job)
    setup = prepare_training(job, allocation)
    calibration = job.calibration(allocation.bits)
    quantized = final = _quantized(job, model, allocation, calibration)
    after = job.quantized(quantized.model, work)
    clock.lap("Evaluate quantized")
    trained = None
    if setup is not None:
        trained, final = train(job, setup, quantized, before, work)
    result = EvaluationResult(
        config=config,
        setting=work.setting(job.plan, min(before.batches.budget, after.batches.budget)),
        sample=work.sample(max(before.batches.largest, after.batches.largest)),
        sensitivities=job.plan.sensitivities,
        allocation=allocation,
        before=before.accuracy,
        after=after.accuracy,
        agreement=after.agreement(before),
        kl=after.divergence(before),
        quantizers=quantizers_for(
            config.quantizer, allocation.bits, config.group_size, calibrated=calibration is not None
        ),
        gptq_sample=None if calibration is None else calibration.planned_sample,
        weights_fingerprint=weights_fingerprint(final.model.state_dict()),
        sizes=quantized.sizes,
        quantization_seconds=clock.seconds("Quantize"),
        trained=trained,
        refinement=refinement,
        stages=clock.take(),
    )
    files = distributed.on_first(lambda: _write(result, work.classifier, final))
    return Quantization(result=result, files=files)


def _baseline(job: Job[QuantizationPlan], work: Prepared) -> Evaluation:
    """Evaluate the FP32 model; say whose the scores are, and refuse labels that look swapped."""
    scores, classifier = job.plan.sensitivities, work.classifier
    if foreign := scores.foreign(classifier.source.name, classifier.encoder_fingerprint):
        job.reporter.note(f"The scores in {scores.file_name} are those of {foreign}.")
    check_few(job, 8 * FEW)  # the whole sample is next
    before = job.baseline(work)
    job.clock.lap("Evaluate FP32")
    check_labels(job.plan, before.accuracy, work.planned_sample)
    return before


def _quantized(
    job: Job[QuantizationPlan], model: nn.Module, allocation: BitAllocation, calibration: Prepared | None
) -> QuantizedModel:
    bits = outline_of(model).bits_by_name(allocation.bits, allocation.granularity, tie=False)
    scheme = Scheme.of(job.plan.config, allocation.embeddings)
    checkpoint = None
    if calibration is not None and job.checkpoints is not None:
        identity = _identity(model, calibration, scheme, bits)  # now: quantizing takes the model apart
        checkpoint = job.checkpoints.open("Quantize", lambda: identity)
    quantized = quantized_copy(model, bits, scheme, calibration, job.reporter, checkpoint)
    job.clock.lap("Quantize")
    return quantized


def allocate(job: Job[QuantizationPlan]) -> tuple[BitAllocation, Refinement | None]:
    """Return the bits of the plan; searched for where it names an accuracy, or plans are to be measured."""
    check_outline(job.plan, job.classifier().model)
    inner = dataclasses.replace(job, clock=Clock())  # one lap for all that a search does
    allocation, budget, refinement = job.plan.allocation, job.plan.budget, None
    if allocation is None:
        allocation = smallest_accurate(inner)
        job.clock.lap("Search for the accuracy")
    elif budget is not None and job.plan.refinements:
        allocation, refinement = refine(inner, budget)
        job.clock.lap(REFINE)
    return allocation, refinement


def _identity(
    model: nn.Module, calibration: Workload, scheme: Scheme, bits: Mapping[str, int]
) -> dict[str, str]:
    """Return everything that the codes and scales depend on."""
    return {**pass_identity(model, calibration), "quantizer": str(scheme), "bits": str(dict(bits))}


def _write(result: EvaluationResult, classifier: Classifier, final: QuantizedModel) -> tuple[Path, ...]:
    folder = prepare_folder(result.config.output, EVALUATION)
    timestamp = time.strftime("%Y%m%d_%H%M%S")
    stem = evaluation_stem(result, timestamp)
    kept: tuple[Path, ...] = ()
    # What reviews had a part in is slow to compute again, and comes out alike only on the same machine.
    if result.trained is not None or result.gptq_sample is not None:
        path = keep_weights(folder, stem, final, classifier.model, result.embeddings)
        kept, result = (path,), dataclasses.replace(result, weights_file=path.name)
    record = write_new(folder, stem, ".json", record_text(result, timestamp))
    return write_atomic(report_path(record), evaluation_text(result, timestamp)), record, *kept
