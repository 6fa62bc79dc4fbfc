"""Phase 2's first half: the bits of a run applied to its model."""

from collections.abc import Iterable

from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel, quantized_copy
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.records.context import Sample
from bert_mpq.records.evaluation import BitAllocation
from bert_mpq.runs.plan import Plan
from bert_mpq.runs.session import Session
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.quantizers import needs_calibration
from bert_mpq.sources.classifiers import Classifier


def calibration_for(
    plan: Plan, widths: Iterable[int], machine: Machine, session: Session, reporter: Reporter
) -> tuple[Workload, Sample] | None:
    """Return the reviews that the run's quantizer looks at for these widths; None where it looks at none.

    Raises:
        MpqError: what ``Session.gptq_calibration`` raises.
    """
    if not needs_calibration(plan.config.quantizer, widths):
        return None
    return session.gptq_calibration(plan, machine, reporter)


def quantize(
    config: RunConfig,
    allocation: BitAllocation,
    classifier: Classifier,
    calibration: Workload | None,
    reporter: Reporter,
) -> QuantizedModel:
    """Return the quantized model; the same run on the same machine gives the same weights, bit by bit.

    Args:
        config: the run.
        allocation: its bits.
        classifier: the FP32 model; it is left as it is.
        calibration: what ``calibration_for`` returned.
        reporter: shows the progress.

    Raises:
        MpqError: E-LAYERS, E-MODEL, E-MEMORY.
    """
    by_name = outline_of(classifier.model).bits_by_name(allocation.bits)
    return quantized_copy(classifier.model, by_name, Scheme.of(config), calibration, reporter)
