"""Phase 2's figures."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.evaluate import evaluate, figures
from bert_mpq.compute.reporting import Silent
from tests.helpers.workloads import on_cpu


def test_figures_by_hand():
    labels = np.array([1, 1, 1, 0, 0])
    predictions = np.array([1, 1, 0, 1, 0])
    logits = np.where(predictions[:, None] == np.arange(2), np.log(3.0), 0.0)
    got = figures(logits, predictions, labels, 1.5)
    assert (got.correct, got.size, got.seconds) == (3, 5, 1.5)
    assert (got.accuracy, got.precision, got.recall, got.f1) == pytest.approx((0.6, 2 / 3, 2 / 3, 2 / 3))
    assert got.loss == pytest.approx(-(3 * np.log(0.75) + 2 * np.log(0.25)) / 5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_figures_are_those_of_scikit_learn(share):
    rng = np.random.default_rng(0)
    labels, predictions = ((rng.random(101) < each).astype(np.int64) for each in (0.4, share))
    got = figures(np.zeros((101, 2)), predictions, labels, 0.0)
    wanted = precision_recall_fscore_support(labels, predictions, average="binary", zero_division=0)
    assert (got.precision, got.recall, got.f1) == pytest.approx(wanted[:3])


def test_figures_without_a_positive_prediction_are_zero_and_not_an_error():
    logits = np.array([[2.0, 0.0], [2.0, 0.0]])
    got = figures(logits, np.array([0, 0]), np.array([0, 1]), 0.0)
    assert (got.precision, got.recall, got.f1) == (0.0, 0.0, 0.0)


def test_evaluation_equals_one_review_at_a_time(classifier, reviews):
    few = reviews.take(list(range(24)))
    tokens = tokenize(few, classifier.tokenizer, 64, Silent())
    got = evaluate(classifier.model, on_cpu(tokens, 512), Silent(), "Evaluate")
    assert got.accuracy.batches == got.batches.count == len(tokens.plan(512))
    with torch.inference_mode():
        for index, text in enumerate(few.texts):
            inputs = classifier.tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            assert got.predictions[index] == classifier.model(**inputs).logits.argmax()
    assert got.accuracy.accuracy == np.mean(got.predictions == np.array(few.labels))


def test_a_classifier_whose_first_output_means_positive_gives_the_same_figures(classifier, reviews):
    tokens = tokenize(reviews.take(list(range(24))), classifier.tokenizer, 64, Silent())
    expected = evaluate(classifier.model, on_cpu(tokens, 512), Silent(), "Evaluate")
    reversed_model = copy.deepcopy(classifier.model)
    reversed_model.config.id2label = {0: "POSITIVE", 1: "NEGATIVE"}
    head = reversed_model.classifier
    head.weight.data, head.bias.data = head.weight.data.flip(0), head.bias.data.flip(0)
    got = evaluate(reversed_model, on_cpu(tokens, 512), Silent(), "Evaluate")
    assert dataclasses.replace(got.accuracy, seconds=0) == dataclasses.replace(expected.accuracy, seconds=0)
    assert np.array_equal(got.logits, expected.logits)


def test_the_embedded_classifier_reads_real_reviews(classifier, reviews):
    tokens = tokenize(reviews.take(list(range(60))), classifier.tokenizer, 96, Silent())
    got = evaluate(classifier.model, on_cpu(tokens, 2048), Silent(), "Evaluate")
    assert got.accuracy.accuracy > 0.75
    assert got.accuracy.loss < 0.6
