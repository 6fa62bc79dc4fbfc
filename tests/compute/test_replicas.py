"""``DataParallel``'s own replicas of our modules, on the CPU: what several GPUs compute equals one copy.

``torch.nn.parallel.replicate`` makes the replicas; only its copy to the GPUs is replaced by a clone. They run
as ``parallel_apply`` runs them: one thread each, without gradients or the caller's inference mode.
"""

import importlib
import threading

import pytest
import torch

from bert_mpq.compute.batches import tokenize
from bert_mpq.compute.evaluate import Logits
from bert_mpq.compute.reporting import Silent
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier

REPLICAS = 3


@pytest.fixture(scope="module")
def batch(classifier, reviews):
    tokens = tokenize(reviews.take(list(range(12))), classifier.tokenizer, 24, Silent())
    return tokens.batch(tokens.plan(10**6)[0])


@pytest.fixture
def replicated(monkeypatch):
    """A function that makes replicas."""
    module = importlib.import_module("torch.nn.parallel.replicate")

    def clones(tensors, devices, detach=False):
        return [[tensor.detach().clone() for tensor in tensors] for _ in devices]

    monkeypatch.setattr(module, "_broadcast_coalesced_reshape", clones)
    monkeypatch.setattr(module, "_get_device_index", lambda device, optional: device)

    def make(network):
        with torch.inference_mode():
            return module.replicate(network, list(range(REPLICAS)), detach=True)

    return make


def at_once(replicas, chunks):
    """Return what every replica gives for its chunk, all running at the same time."""
    answers, start = [None] * len(chunks), threading.Barrier(len(chunks))

    def work(index):
        with torch.no_grad():
            start.wait()
            answers[index] = replicas[index](*chunks[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(chunks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def chunks_of(batch):
    tensors = batch.input_ids, batch.attention_mask
    return list(zip(*(tensor.chunk(REPLICAS) for tensor in tensors), strict=True))


def test_replicas_of_an_evaluated_classifier_equal_one_copy(tiny_model, batch, replicated):
    module = Logits(tiny_model)
    chunks = chunks_of(batch)
    with torch.inference_mode():
        expected = [module(*chunk) for chunk in chunks]
        whole = module(batch.input_ids, batch.attention_mask)
    answers = at_once(replicated(module), chunks)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(answers, expected, strict=True))
    torch.testing.assert_close(torch.cat(answers), whole)


@pytest.mark.parametrize("scope", ["propagated", "isolated", "cumulative"])
@pytest.mark.parametrize("bits", [(4,), (8, 2)])
def test_replicas_of_a_probed_classifier_equal_one_copy(tiny_model, batch, replicated, scope, bits):
    probe = Probe(scope=scope, pooling="mean", bits=bits, quantizer="rtn", group_size=None)
    module = ProbedClassifier(tiny_model, probe)
    chunks = chunks_of(batch)
    with torch.inference_mode():
        expected = [module(*chunk) for chunk in chunks]
        whole = module(batch.input_ids, batch.attention_mask)
    for _ in range(3):
        answers = at_once(replicated(module), chunks)
        for mine, theirs in zip(answers, expected, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    for parts, together in zip(zip(*answers, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(parts), together)  # what DataParallel gathers
