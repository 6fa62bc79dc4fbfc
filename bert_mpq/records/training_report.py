"""The sections of an evaluation report that follow a quantization-aware training."""

from bert_mpq.records.evaluation import Accuracy, EvaluationResult, TrainedEvaluation


def training_sections(result: EvaluationResult) -> list[list[str]]:
    """Return the sections in their order; none without a training."""
    trained = result.trained
    if trained is None:
        return []
    return [
        _training(result, trained),
        [
            "# After Quantization-Aware Training",
            *accuracy_lines(trained.accuracy),
            drop_line(result, trained.accuracy),
            f"prediction_agreement: {trained.agreement:.6f}",
        ],
        _side_by_side(result, trained),
    ]


def accuracy_lines(accuracy: Accuracy) -> list[str]:
    """Return the figures of one model, with the original tool's keys."""
    return [
        *(f"{name}: {value:.6f}" for name, value in accuracy.figures.items()),
        f"evaluation_time_s: {accuracy.seconds:.3f}",
    ]


def drop_line(result: EvaluationResult, after: Accuracy) -> str:
    """Return how much lower an accuracy is than the FP32 model's."""
    drop = result.before.accuracy - after.accuracy
    return f"accuracy_drop: {drop:.6f} ({result.relative_drop(after):.2%})"


def _training(result: EvaluationResult, trained: TrainedEvaluation) -> list[str]:
    training, sample = trained.training, trained.sample
    return [
        "# Quantization-Aware Training",
        f"qat_epochs: {result.config.qat_epochs}",
        f"qat_split: {sample.split}",
        f"qat_reviews: {training.training_reviews}",
        f"qat_validation_reviews: {training.validation_reviews}",
        f"qat_learning_rate: {training.learning_rate:g}",
        f"qat_batch_size: {training.batch_size}",
        f"qat_steps: {training.steps} of {training.planned_steps}",
        f"qat_stopped_early: {'yes' if training.stopped_early else 'no'}",
        f"qat_best_step: {training.best_step}",
        f"qat_time_s: {training.seconds:.3f}",
        "step\ttraining_loss\tvalidation_kl\tvalidation_agreement\tvalidation_accuracy",
        *(
            f"{point.step}\t{'-' if point.loss is None else f'{point.loss:.6f}'}\t{point.kl:.6f}"
            f"\t{point.agreement:.6f}\t{point.accuracy:.6f}"
            for point in training.curve
        ),
    ]


def _side_by_side(result: EvaluationResult, trained: TrainedEvaluation) -> list[str]:
    models = (result.before.figures, result.after.figures, trained.accuracy.figures)
    rows = {name: [model[name] for model in models] for name in result.before.figures}
    rows["prediction_agreement"] = [1.0, result.agreement, trained.agreement]
    return [
        "# FP32, PTQ and QAT",
        "figure\tfp32\tptq\tqat",
        *("\t".join([name, *(f"{value:.6f}" for value in values)]) for name, values in rows.items()),
    ]
