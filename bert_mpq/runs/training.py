"""The part of Phase 2 that trains the quantized model and measures it again."""

import functools
from dataclasses import dataclass

from bert_mpq.compute.checkpoints import EVERY
from bert_mpq.compute.evaluate import Evaluation
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.checkpoint import NAME, TrainingCheckpoint
from bert_mpq.quantization.training.loop import Training
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.records.evaluation import BitAllocation, TrainedEvaluation
from bert_mpq.records.files import EVALUATION
from bert_mpq.runs.checks import check_some_below_16
from bert_mpq.runs.job import Job
from bert_mpq.runs.plan import QuantizationPlan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.settings.paths import user_path


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """A training that has been decided.

    Args:
        work: calibration reviews to train and validate on, and where.
        checkpoint: where to go on from; it has been checked.
    """

    work: Prepared
    recipe: Recipe
    checkpoint: TrainingCheckpoint


def has_checkpoint(output: str) -> bool:
    """Return whether an unfinished training is kept in ``output``."""
    return (user_path(output) / EVALUATION / NAME).exists()


def prepare_training(job: Job[QuantizationPlan], allocation: BitAllocation) -> TrainingSetup | None:
    """Draw the reviews and look for a checkpoint, before anything slow is done; None without a training.

    Raises:
        MpqError: E-CHECKPOINT when the checkpoint there is another training's; E-CONFIG when the allocation
            has nothing to train; what reading reviews raises.
    """
    plan, config = job.plan, job.plan.config
    if not plan.training:
        return None
    check_some_below_16(allocation.bits)
    work = job.draw("calibration", plan.training, "Tokenize for training")
    recipe = Recipe(epochs=config.qat_epochs, learning_rate=config.qat_learning_rate, seed=config.seed)
    identity = functools.partial(_identity, plan, allocation, work, recipe)
    folder = user_path(config.output) / EVALUATION
    checkpoint = TrainingCheckpoint(folder, identity, plan.repeat, EVERY, job.reporter)
    checkpoint.check()
    return TrainingSetup(work=work, recipe=recipe, checkpoint=checkpoint)


def _identity(
    plan: QuantizationPlan, allocation: BitAllocation, work: Prepared, recipe: Recipe
) -> dict[str, str]:
    """Return everything that the result of a training depends on."""
    config = plan.config
    embeddings = allocation.embeddings or config.embedding_precision
    return {
        "model": plan.sources.model.name,
        "weights": weights_fingerprint(work.classifier.model.state_dict()),
        "reviews": work.tokens.fingerprint,
        "max length": str(plan.max_length),
        "bits": str(allocation.bits),
        "quantizer": f"{config.quantizer}, group size {config.group_size or 'channel'},"
        f" {config.gptq_reviews} GPTQ reviews, embeddings {embeddings}",
        "precision": config.precision,
        "batch tokens": str(work.batch_tokens),
        "recipe": str(recipe),
    }


def train(
    job: Job[QuantizationPlan],
    setup: TrainingSetup,
    quantized: QuantizedModel,
    before: Evaluation,
    work: Prepared,
) -> tuple[TrainedEvaluation, QuantizedModel]:
    """Train a quantized model and measure it on the evaluation reviews; two laps of the clock.

    Args:
        before: the FP32 model's evaluation.
        work: the evaluation reviews and where to run.

    Raises:
        MpqError: E-MEMORY, E-CHECKPOINT, E-DIVERGED.
    """
    training = Training(work.classifier.model, quantized, setup.work, setup.recipe)
    retrained = training.run(job.reporter, setup.checkpoint)
    job.clock.lap("Train")
    after = job.evaluate(retrained.quantized.model, work, "Evaluate trained")
    job.clock.lap("Evaluate trained")
    trained = TrainedEvaluation(
        accuracy=after.accuracy,
        agreement=after.agreement(before),
        kl=after.divergence(before),
        sample=setup.work.sample(setup.recipe.batch_size),
        training=retrained.report,
    )
    return trained, retrained.quantized
