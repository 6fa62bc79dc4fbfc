"""The model of an evaluation, made again: from kept weights, or by quantizing as the run record says."""

import copy
from dataclasses import dataclass
from typing import Any

from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.export.kept_weights import restored
from bert_mpq.export.packed import PackedModel, halves_of, pack_quantized_model
from bert_mpq.records.reading import EvaluationRecord
from bert_mpq.runs.plan import Plan, find_sources
from bert_mpq.runs.quantize import calibration_for, quantize
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import Classifier
from bert_mpq.sources.reviews import load_reviews
from bert_mpq.sources.sampling import sample


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The model whose figures a run record holds.

    Args:
        plan: the run.
        model: fake-quantized, on the CPU.
        packed: the same as codes, scales and plain tensors.
        tokenizer: its tokenizer.
    """

    plan: Plan
    model: Any
    packed: PackedModel
    tokenizer: Any

    @property
    def max_length(self) -> int:
        """Tokens per review at most."""
        return self.plan.config.max_length or self.plan.sources.model.max_length

    def texts(self, count: int) -> tuple[str, ...]:
        """Return up to ``count`` reviews of the evaluation split, as many positive as negative."""
        reviews = load_reviews(self.plan.sources.data, "evaluation")
        return tuple(sample(reviews, min(count, len(reviews)), "stratified", self.plan.config.seed).texts)


def evaluated_model(record: EvaluationRecord, session: Session, reporter: Reporter) -> Evaluated:
    """Return the model of an evaluation, exactly.

    Raises:
        MpqError: E-WEIGHTS when what comes out has another fingerprint than the evaluated weights, or the
            record is too old to have one; E-NOFILE
            when kept weights are gone; what loading model and reviews raises.
    """
    if not record.result.weights_fingerprint:
        raise MpqError(
            "E-WEIGHTS", f"{record.path.name} does not say which weights it measured.", "Evaluate again."
        )
    plan = _plan(record)
    classifier = session.classifier(plan, reporter)
    if record.result.weights_file:
        bits = outline_of(classifier.model).bits_by_name(record.result.allocation.bits)
        halves = halves_of(classifier.model, bits, plan.config.embeddings)
        packed = restored(classifier.model, record.path.parent / record.result.weights_file, halves)
    else:
        packed = _quantized_again(plan, classifier, session, reporter)
    state = packed.state()
    if weights_fingerprint(state) != record.result.weights_fingerprint:
        raise MpqError(
            "E-WEIGHTS",
            f"The weights that {record.path.name} measured cannot be made again here: the model, the reviews,"
            " the machine or a library has changed.",
            "Evaluate again here, then export that evaluation.",
        )
    model = copy.deepcopy(classifier.model).cpu().eval()
    model.load_state_dict(state)
    return Evaluated(plan=plan, model=model, packed=packed, tokenizer=classifier.tokenizer)


def _plan(record: EvaluationRecord) -> Plan:
    """Return the run as it was planned; its sensitivity file may be gone by now."""
    result = record.result
    config = result.config.replace(model=result.setting.model_name)
    sources = find_sources(config, "quantize")
    return Plan(
        config=config,
        phase="quantize",
        sources=sources,
        calibration=0,
        evaluation=result.sample.size,
        sensitivities=result.sensitivities,
        allocation=result.allocation,
    )


def _quantized_again(plan: Plan, classifier: Classifier, session: Session, reporter: Reporter) -> PackedModel:
    assert plan.allocation is not None
    machine = _machine(plan, session)
    calibration = calibration_for(plan, plan.allocation.bits, machine, session, reporter)
    quantized = quantize(plan.config, plan.allocation, classifier, calibration and calibration[0], reporter)
    return pack_quantized_model(quantized, plan.config.embeddings)


def _machine(plan: Plan, session: Session) -> Machine:
    """Return the device of the run, or what there is here: the fingerprint tells whether it will do."""
    try:
        return session.machine(plan.config)
    except MpqError:
        return session.machine(plan.config.replace(device="auto", precision="fp32"))
