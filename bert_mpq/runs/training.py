"""The part of Phase 2 that trains the quantized model and measures it again."""

from dataclasses import dataclass

from bert_mpq.compute.checkpoints import Checkpoints
from bert_mpq.compute.evaluate import Evaluation, evaluate
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.checkpoint import EVERY, NAME, Checkpoint, identity_of
from bert_mpq.quantization.training.recipe import Recipe
from bert_mpq.quantization.training.retrain import Retrained, retrain
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
    checkpoint: Checkpoint


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
    identity = identity_of(
        config,
        work.classifier.model,
        plan.sources.model.name,
        allocation.bits,
        reviews,
        config.max_length or plan.sources.model.max_length,
        work.batch_tokens,
        recipe,
    )
    folder = user_path(config.output) / EVALUATION
    checkpoint = Checkpoint(folder, identity, flags.command_line("quantize", config), EVERY)
    checkpoint.check()
    sample = session.sample(plan, "calibration", tokens, reviews, recipe.batch_size)
    own = Workload(tokens=tokens, machine=work.machine, asked=work.asked)
    return TrainingSetup(work=own, sample=sample, recipe=recipe, checkpoint=checkpoint)


def train(setup: TrainingSetup, work: Prepared, quantized: QuantizedModel, reporter: Reporter) -> Retrained:
    """Train the quantized model; raises as ``bert_mpq.qat.retraining.retrain``."""
    return retrain(
        work.classifier.model,
        quantized,
        setup.work,
        setup.recipe,
        reporter,
        setup.checkpoint,
    )


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
