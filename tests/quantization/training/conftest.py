"""A small classifier with clear answers, quantized to two bits, and real reviews to train it on."""

import copy

import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.training.checkpoint import TrainingCheckpoint
from bert_mpq.sources.sampling import sample
from tests.helpers.quantized import quantized_at
from tests.helpers.small_task import IDENTITY, Task


@pytest.fixture(scope="session")
def tokens(imdb, classifier):
    """64 real calibration reviews of at most 24 tokens."""
    reviews = sample(imdb["calibration"], 64, "stratified", seed=0)
    return tokenize(reviews, classifier.tokenizer, 24, Silent())


@pytest.fixture(scope="session")
def task(tiny_model, tokens):
    """The second layer at 2 bits, the first one untouched."""
    teacher = copy.deepcopy(tiny_model)
    with torch.no_grad():
        # Large enough for reviews to differ, and for quantization to matter.
        teacher.classifier.weight.mul_(60)
        teacher.bert.pooler.dense.weight.mul_(50)
        for layer in encoder_layers(teacher):
            for _, linear in linears(layer):
                linear.weight.mul_(12)
    return Task(teacher, quantized_at(teacher, (32, 2), "rtn", None), tokens)


@pytest.fixture
def checkpoint(tmp_path):
    """Make a checkpoint file in the test's folder."""

    def make(every=0.0, reporter=None, **changes):
        identity = {**IDENTITY, **changes}
        command = "bert-mpq quantize --qat-epochs 2"
        return TrainingCheckpoint(tmp_path, lambda: identity, command, every, reporter or Silent())

    return make
