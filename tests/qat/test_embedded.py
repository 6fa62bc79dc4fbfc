"""The real classifier at two bits comes nearer to the FP32 model."""

import copy

import torch
from small_task import Task

from bert_mpq.encoder import encoder_layers, layer_path, linears
from bert_mpq.qat.recipe import Recipe
from bert_mpq.quantization import rtn


def test_a_short_training_on_real_reviews_recovers_part_of_the_loss(classifier, tokens):
    quantized, weights = copy.deepcopy(classifier.model), {}
    for index, layer in enumerate(encoder_layers(quantized)):
        for name, linear in linears(layer):
            weight = rtn.quantize(linear.weight, 2, 64)
            weights[f"{layer_path(quantized)}.{index}.{name}"] = weight
            with torch.no_grad():
                linear.weight.copy_(weight.dequantize())
    recipe = Recipe(epochs=2, learning_rate=2e-4, batch_size=8, checks=1, validation_share=0.25)
    report = Task(classifier.model, quantized, weights, tokens).train(recipe).report
    first, middle, last = report.curve
    print(report.curve)
    assert last.loss < middle.loss
    assert last.kl < 0.9 * first.kl
    assert report.best_step == last.step == 12
