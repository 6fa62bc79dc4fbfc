"""``DataParallel``'s own replicas of our modules, on the CPU: what several GPUs compute equals one copy."""

import copy
import dataclasses

import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.devices import Replicas, pick_machine
from bert_mpq.compute.evaluate import Logits
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.twins import Twins
from tests.helpers.agreement import assert_machines_agree
from tests.helpers.replicas import COUNT, ReplicaMachine, at_once, replicas_of


@pytest.fixture(scope="module")
def batch(classifier, reviews):
    tokens = tokenize(reviews.take(list(range(12))), classifier.tokenizer, 24, Silent())
    return tokens.batch(tokens.plan(10**6)[0])


def chunks_of(batch):
    tensors = batch.input_ids, batch.attention_mask
    return list(zip(*(tensor.chunk(COUNT) for tensor in tensors), strict=True))


def test_replicas_of_an_evaluated_classifier_equal_one_copy(tiny_model, batch):
    module = Logits(tiny_model)
    chunks = chunks_of(batch)
    with torch.inference_mode():
        expected = [module(*chunk) for chunk in chunks]
        whole = module(batch.input_ids, batch.attention_mask)
    answers = at_once(replicas_of(module), chunks)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(answers, expected, strict=True))
    torch.testing.assert_close(torch.cat(answers), whole)


@pytest.mark.parametrize("scope", ["propagated", "isolated", "cumulative"])
@pytest.mark.parametrize("bits", [(4,), (8, 2)])
def test_replicas_of_a_probed_classifier_equal_one_copy(tiny_model, batch, scope, bits):
    probe = Probe(scope=scope, pooling="mean", bits=bits, quantizer="rtn", group_size=None)
    module = ProbedClassifier(Twins.of(tiny_model, probe))
    chunks = chunks_of(batch)
    with torch.inference_mode():
        expected = [module(*chunk) for chunk in chunks]
        whole = module(batch.input_ids, batch.attention_mask)
    for _ in range(3):
        answers = at_once(replicas_of(module), chunks)
        for mine, theirs in zip(answers, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    for parts, together in zip(zip(*answers, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(parts), together)  # what DataParallel gathers


def test_replicas_are_made_once(tiny_model):
    behind = Replicas(tiny_model)
    first = replicas_of(behind.module, behind.replicate)
    assert len(first) == COUNT
    assert len({id(replica.classifier.weight) for replica in first}) == COUNT
    assert all(a is b for a, b in zip(first, replicas_of(behind.module, behind.replicate), strict=True))
    assert behind.replicate(behind.module, [0]) == first[:1]


def test_several_replicas_in_one_process_find_what_one_copy_finds(classifier, tiny_model, reviews):
    source = dataclasses.replace(classifier.source, layers=2, hidden=16)
    own = dataclasses.replace(classifier, model=copy.deepcopy(tiny_model), source=source)
    tokens = tokenize(reviews.take(list(range(48))), own.tokenizer, 24, Silent())
    assert_machines_agree(own, tokens, pick_machine("cpu"), ReplicaMachine(), batch_tokens=600)
