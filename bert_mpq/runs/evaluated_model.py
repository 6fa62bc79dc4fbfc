"""The model of an evaluation, made again: from kept weights, or by quantizing as the run record says."""

import copy
from dataclasses import dataclass
from typing import Any

from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.reviews import Reviews
from bert_mpq.export.layout import restored
from bert_mpq.export.packed import PackedModel, pack_model
from bert_mpq.quantization.model import quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.reading import EvaluationRecord
from bert_mpq.runs.find_sources import find_sources
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import QuantizationPlan
from bert_mpq.runs.session import Session
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.reviews import load_reviews
from bert_mpq.sources.sampling import sample


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """The model whose figures a run record holds.

    Args:
        original: the FP32 classifier.
        model: fake-quantized, on the CPU.
        packed: the same as codes, scales and plain tensors.
    """

    plan: QuantizationPlan
    original: Any
    model: Any
    packed: PackedModel
    tokenizer: Any

    @property
    def max_length(self) -> int:
        """Tokens per review at most."""
        return self.plan.max_length

    def reviews(self) -> Reviews:
        """Return the reviews of the evaluation."""
        config, every = self.plan.config, load_reviews(self.plan.sources.data, "evaluation")
        return sample(every, self.plan.reviews["evaluation"], config.sampling, config.seed)

    def texts(self, count: int) -> tuple[str, ...]:
        """Return up to ``count`` reviews of the evaluation split, as many positive as negative."""
        reviews = load_reviews(self.plan.sources.data, "evaluation")
        return tuple(sample(reviews, min(count, len(reviews)), "stratified", self.plan.config.seed).texts)


def evaluated_model(record: EvaluationRecord, session: Session, reporter: Reporter) -> Evaluated:
    """Return the model of an evaluation, exactly.

    Raises:
        MpqError: E-WEIGHTS when what comes out has another fingerprint than the evaluated weights, or the
            record is too old to have one; E-NOFILE when kept weights are gone; what loading model and reviews
            raises.
    """
    result = record.result
    if not result.weights_fingerprint:
        raise MpqError(
            "E-WEIGHTS", f"{record.path.name} does not say which weights it measured.", "Evaluate again."
        )
    plan = _plan(result)
    classifier = Job(plan=plan, reporter=reporter, session=session).classifier()
    allocation, scheme = result.allocation, Scheme.of(plan.config, result.embeddings)
    bits = outline_of(classifier.model).bits_by_name(allocation.bits, allocation.granularity, tie=False)
    if result.weights_file:
        path = record.path.parent / result.weights_file
        packed = restored(classifier.model, path, bits, scheme.embeddings)
    else:  # they were rounded without reviews: had the run had any, it would have kept its weights
        quantized = quantized_copy(classifier.model, bits, scheme, reporter=reporter)
        packed = pack_model(quantized.model, quantized.codes, bits, scheme.embeddings)
    state = packed.state()
    if weights_fingerprint(state) != result.weights_fingerprint:
        raise MpqError(
            "E-WEIGHTS",
            f"The weights that {record.path.name} measured cannot be made again here: the model, the reviews,"
            " the machine or a library has changed.",
            "Evaluate again here, then export that evaluation.",
        )
    model = copy.deepcopy(classifier.model).cpu().eval()
    model.load_state_dict(state)
    return Evaluated(
        plan=plan, original=classifier.model, model=model, packed=packed, tokenizer=classifier.tokenizer
    )


def _plan(result: EvaluationResult) -> QuantizationPlan:
    """Return the run as it was planned; its sensitivity file may be gone by now."""
    config = result.config.replace(model=result.setting.model_name)
    return QuantizationPlan(
        config=config,
        sources=find_sources(config, "quantize"),
        reviews={"evaluation": result.sample.size},
        training=0,
        sensitivities=result.sensitivities,
        allocation=result.allocation,
    )
