"""From a quantized model to a better one of the same size."""

import copy
import dataclasses
from dataclasses import dataclass

from torch import nn

from bert_mpq.compute.encoder import layer_path
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.checkpoint import Checkpoint
from bert_mpq.quantization.training.loop import Training
from bert_mpq.quantization.training.order import make_order
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.quantization.training.student import Frozen, Student, apply
from bert_mpq.quantization.training.validation_slice import Validation
from bert_mpq.records.training import TrainingReport


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A trained model.

    Args:
        quantized: the model, whose trained weights are codes * scale exactly, with bits and sizes as before.
        report: how the training went.
    """

    quantized: QuantizedModel
    report: TrainingReport


def retrain(
    teacher: nn.Module,
    quantized: QuantizedModel,
    work: Workload,
    recipe: Recipe,
    reporter: Reporter,
    checkpoint: Checkpoint | None = None,
) -> Retrained:
    """Train the weights of a quantized model towards the FP32 model; bits and groups stay as they are.

    Args:
        teacher: the FP32 classifier.
        quantized: the same after post-training quantization, on symmetric grids; it is not changed.
        work: calibration reviews, a slice of which is kept for validation, and where to run; one device is
            used.
        recipe: how to train.
        reporter: shows the progress.
        checkpoint: to go on from and to write.

    Raises:
        MpqError: E-MEMORY, E-CHECKPOINT, E-DIVERGED.
    """
    model, weights = quantized.model, quantized.weights
    path = layer_path(model)
    layers = tuple(f"{path}.{name}" for name, _ in model.get_submodule(path).named_children())
    originals = {name: teacher.get_parameter(f"{name}.weight").detach() for name in weights}
    student = Student(model, weights, originals, layers)
    result = copy.deepcopy(model)
    order = make_order(work.tokens.lengths, recipe)
    slice_ = dataclasses.replace(work, tokens=work.tokens.take(order.validation))
    training = Training(
        teacher=teacher,
        student=student,
        validation=Validation(teacher, result, slice_),
        work=work,
        order=order,
        recipe=recipe,
        start=Frozen(weights=dict(weights), others=student.freeze().others),
    )
    trained = training.run(reporter, checkpoint)
    apply(trained.frozen, result)
    return Retrained(
        quantized=dataclasses.replace(quantized, model=result, weights=trained.frozen.weights),
        report=trained.report,
    )
