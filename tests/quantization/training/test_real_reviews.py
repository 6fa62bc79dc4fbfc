"""The real classifier at two bits comes nearer to the FP32 model."""

from bert_mpq.quantization.training.recipe import Recipe
from tests.helpers.quantized import quantized_at
from tests.helpers.small_task import Task


def test_a_short_training_on_real_reviews_recovers_part_of_the_loss(classifier, tokens):
    task = Task(classifier.model, quantized_at(classifier.model, (2,) * 6, "rtn", 64), tokens)
    recipe = Recipe(epochs=2, learning_rate=2e-4, batch_size=8, checks=1, validation_share=0.25)
    report = task.train(recipe).report
    first, middle, last = report.curve
    assert last.loss < middle.loss
    assert last.kl < 0.95 * first.kl
    assert report.best_step == last.step == 12
