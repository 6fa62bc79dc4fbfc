"""What the tests of a training share: a classifier, its quantized copy, and reviews."""

import dataclasses

import torch

from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.training.loop import Training
from bert_mpq.quantization.training.recipe import Recipe
from tests.helpers.workloads import on_cpu

RECIPE = Recipe(epochs=2, learning_rate=1e-3, batch_size=8, validation_share=0.25, checks=2)
IDENTITY = {"weights": "0" * 64, "reviews": "1" * 64, "bits": "(32, 2)", "recipe": str(RECIPE)}


@dataclasses.dataclass(frozen=True)
class Task:
    teacher: torch.nn.Module
    compressed: QuantizedModel
    tokens: object

    @property
    def quantized(self):
        return self.compressed.model

    @property
    def weights(self):
        return self.compressed.weights

    def train(self, recipe=RECIPE, reporter=None, checkpoint=None, batch_tokens=2_048):
        work = on_cpu(self.tokens, batch_tokens)
        return Training(self.teacher, self.compressed, work, recipe).run(reporter or Silent(), checkpoint)
