"""The classifier of twelve layers with its real weights: ``pytest -m offline_base``."""

import numpy as np
import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Silent
from bert_mpq.sources.classifiers import find_classifier, load_classifier

pytestmark = pytest.mark.offline_base


@pytest.fixture(scope="module")
def base():
    return load_classifier(find_classifier("embedded-base"))


def test_it_has_the_shape_that_is_planned_with(base):
    layers = encoder_layers(base.model)
    assert len(layers) == base.source.layers == 12
    assert base.model.config.hidden_size == base.source.hidden == 768
    assert sum(linear.weight.numel() for _, linear in linears(layers[0])) == base.source.layer_weights
    assert sum(parameter.numel() for parameter in base.model.parameters()) == base.source.parameters


def test_it_classifies_held_out_reviews_right(base, reviews):
    sample = tokenize(reviews.take(list(range(40))), base.tokenizer, 256, Silent())
    right = 0
    with torch.inference_mode():
        for indices in sample.plan(2048):
            batch = sample.batch(indices)
            logits = base.model(batch.input_ids, batch.attention_mask).logits
            right += int((logits.argmax(1).numpy() == sample.labels[indices]).sum())
    assert np.bincount(sample.labels).min() >= 12
    assert right >= 36  # 93.9 % of all held-out reviews
