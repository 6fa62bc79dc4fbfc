"""The part of Phase 2 that trains the quantized model and measures it again."""

import functools
from dataclasses import dataclass

from bert_mpq.compute.checkpoints import EVERY, Checkpoints
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.fingerprint import weights_fingerprint
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.checkpoint import NAME, TrainingCheckpoint
from bert_mpq.quantization.training.loop import Retrained, Training
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.records.context import Sample
from bert_mpq.records.evaluation import BitAllocation, TrainedEvaluation
from bert_mpq.records.files import EVALUATION
from bert_mpq.runs.plan import Plan, check_some_below_16
from bert_mpq.runs.session import Prepared, Session
from bert_mpq.settings import flags
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.paths import user_path


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """A training that has been decided.

    Args:
        work: calibration reviews to train and validate on, and where.
        sample: what the artifacts say of them.
        recipe: how to train.
        checkpoint: where to go on from; it has been checked.
    """

    work: Workload
    sample: Sample
    recipe: Recipe
    checkpoint: TrainingCheckpoint


def recipe_of(config: RunConfig) -> Recipe:
    """Return the recipe that the flags name."""
    return Recipe(epochs=config.qat_epochs, learning_rate=config.qat_learning_rate, seed=config.seed)


def has_checkpoint(output: str) -> bool:
    """Return whether an unfinished training is kept in ``output``."""
    return (user_path(output) / EVALUATION / NAME).exists()


def prepare_training(
    plan: Plan,
    allocation: BitAllocation,
    work: Prepared,
    session: Session,
    reporter: Reporter,
) -> TrainingSetup | None:
    """Draw the reviews and look for a checkpoint, before anything slow is done; None without a training.

    Raises:
        MpqError: E-CHECKPOINT when the checkpoint there is another training's; E-CONFIG when the allocation
            has nothing to train; what reading reviews raises.
    """
    config = plan.config
    if not plan.training:
        return None
    check_some_below_16(allocation.bits)
    tokens, reviews = session.training_tokens(plan, reporter)
    recipe = recipe_of(config)
    identity = functools.partial(_identity, plan, allocation, work, reviews, recipe)
    folder, command = user_path(config.output) / EVALUATION, flags.command_line("quantize", config)
    checkpoint = TrainingCheckpoint(folder, identity, command, EVERY, reporter)
    checkpoint.check()
    sample = session.sample(plan, "calibration", tokens, reviews, recipe.batch_size)
    own = Workload(tokens=tokens, machine=work.machine, asked=work.asked)
    return TrainingSetup(work=own, sample=sample, recipe=recipe, checkpoint=checkpoint)


def _identity(
    plan: Plan, allocation: BitAllocation, work: Prepared, reviews: str, recipe: Recipe
) -> dict[str, str]:
    """Return everything that the result of a training depends on."""
    config = plan.config
    return {
        "model": plan.sources.model.name,
        "weights": weights_fingerprint(work.classifier.model.state_dict()),
        "reviews": reviews,
        "max length": str(config.max_length or plan.sources.model.max_length),
        "bits": str(allocation.bits),
        "quantizer": f"{config.quantizer}, group size {config.group_size or 'channel'},"
        f" {config.gptq_reviews} GPTQ reviews, embeddings {config.embeddings}",
        "precision": config.precision,
        "batch tokens": str(work.batch_tokens),
        "recipe": str(recipe),
    }


def train(setup: TrainingSetup, work: Prepared, quantized: QuantizedModel, reporter: Reporter) -> Retrained:
    """Train the quantized model; raises as ``Training.run``."""
    training = Training(work.classifier.model, quantized, setup.work, setup.recipe)
    return training.run(reporter, setup.checkpoint)


def evaluate_trained(
    setup: TrainingSetup,
    retrained: Retrained,
    before: Evaluation,
    work: Prepared,
    reporter: Reporter,
    checkpoints: Checkpoints,
) -> TrainedEvaluation:
    """Measure the trained model on the evaluation reviews.

    Args:
        setup: of the training.
        retrained: what it yielded.
        before: the FP32 model's evaluation.
        work: the evaluation reviews and where to run.
        reporter: shows the progress.
        checkpoints: where the evaluation goes on from.

    Raises:
        MpqError: E-MEMORY.
    """
    after = evaluate(retrained.quantized.model, work, reporter, "Evaluate trained", checkpoints)
    return TrainedEvaluation(
        accuracy=after.accuracy,
        agreement=float((before.predictions == after.predictions).mean()),
        sample=setup.sample,
        training=retrained.report,
    )
