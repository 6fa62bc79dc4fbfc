import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bert_mpq.compute.batches import Batch
from bert_mpq.sources.embedded.training.objectives import RegularizedClassifier, disagreement, shortened
from bert_mpq.sources.embedded.training.recipe import ClassifierRecipe

PLAIN = dataclasses.replace(ClassifierRecipe(), agreement=0.0, hidden_share=0.0, label_smoothing=0.0)
IDS = torch.tensor([[101, 2001, 2002, 2003, 102], [101, 3001, 102, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LABELS = np.array([0, 1, 1])
BATCH = Batch(indices=np.array([2, 0]), input_ids=IDS, attention_mask=MASK)


def loss(model, recipe: ClassifierRecipe) -> float:
    with torch.no_grad():
        return RegularizedClassifier(model, LABELS, 103, recipe)(BATCH).item()


def test_without_regularization_it_is_the_cross_entropy_of_the_labels(tiny_model):
    with torch.no_grad():
        log_p = torch.log_softmax(tiny_model(input_ids=IDS, attention_mask=MASK).logits, -1)
    expected = -(log_p[0, 1] + log_p[1, 0]).item() / 2  # the labels of reviews 2 and 0
    assert loss(tiny_model, PLAIN) == pytest.approx(expected, rel=1e-6)


def test_without_dropout_two_views_agree_and_cost_nothing(tiny_model):
    both = dataclasses.replace(PLAIN, agreement=5.0)
    assert loss(tiny_model, both) == pytest.approx(loss(tiny_model, PLAIN), rel=1e-5)


class Counter(torch.nn.Module):
    """Logits that tell how many tokens there are."""

    def forward(self, input_ids, attention_mask):
        count = attention_mask.sum(1).float()
        return SimpleNamespace(logits=torch.stack([count, 0.5 * count], 1))


def test_views_of_different_length_disagree():
    recipe = dataclasses.replace(PLAIN, short_view=3, agreement=3.0)
    logits = torch.tensor([[3.0, 1.5], [3.0, 1.5], [5.0, 2.5], [3.0, 1.5]])  # both views of both reviews
    entropy = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0, 1, 0]))
    expected = (entropy + 3.0 * disagreement(logits)).item()
    assert expected > 1.01 * entropy.item()
    assert loss(Counter(), recipe) == pytest.approx(expected, rel=1e-6)


def test_a_shortened_review_still_ends_with_its_last_token():
    ids, mask = shortened(IDS, MASK, 4)
    assert ids.tolist() == [[101, 2001, 2002, 102], [101, 3001, 102, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_the_disagreement_is_half_of_both_divergences():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    expected = ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2
    assert disagreement(torch.stack([p, q]).log()).item() == pytest.approx(expected.item(), rel=1e-6)
