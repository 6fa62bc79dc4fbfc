import copy

import numpy as np
import pytest
import scipy.special
import torch

from bert_mpq.compute.devices import pick_machine
from bert_mpq.compute.divergence import kl_of_logits
from bert_mpq.quantization.training.distillation import distillation_loss

CPU = pick_machine("cpu")


def loss(task, indices, student=None, weight=1.0):
    batch = task.tokens.batch(np.asarray(indices))
    return distillation_loss(task.teacher, student or task.quantized, batch, CPU, weight)


def test_a_model_that_does_the_same_loses_nothing(task):
    assert loss(task, range(8), copy.deepcopy(task.teacher)).item() == 0
    assert loss(task, range(8)).item() > 0.1


def test_the_kl_is_the_relative_entropy_of_the_probabilities():
    first, second = torch.randn(5, 2), torch.randn(5, 2)
    p, q = (scipy.special.softmax(side.double().numpy(), 1) for side in (first, second))
    truth = scipy.special.rel_entr(p, q).sum(1)  # terms of both signs: the sum is as exact as they are
    np.testing.assert_allclose(kl_of_logits(first, second), truth, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_parts_of_a_batch_add_up_whatever_their_padding(task, weight):
    order = np.argsort(task.tokens.lengths)
    short, long = order[:3], order[-5:]
    with torch.no_grad():
        whole = loss(task, [*short, *long], weight=weight)
        parts = loss(task, short, weight=weight) + loss(task, long, weight=weight)
    torch.testing.assert_close(whole, parts)


def test_the_hidden_states_are_compared_layer_by_layer_over_real_tokens(task):
    review = task.tokens.batch(np.asarray([3]))
    with torch.no_grad():
        outputs = [
            model(review.input_ids, review.attention_mask, output_hidden_states=True).hidden_states[1:]
            for model in (task.teacher, task.quantized)
        ]
        errors = [(b - a).square().sum() / a.square().sum() for a, b in zip(*outputs, strict=True)]
        measured = loss(task, [3], weight=1.0) - loss(task, [3], weight=0.0)
    assert errors[0] == 0  # the first layer is not quantized
    torch.testing.assert_close(measured, torch.stack(errors).mean())


def test_only_the_student_gets_gradients(task):
    teacher, student = copy.deepcopy(task.teacher), copy.deepcopy(task.quantized)
    batch = task.tokens.batch(np.arange(4))
    distillation_loss(teacher, student, batch, CPU, 1.0).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.bert.encoder.layer[1].output.dense.weight.grad.abs().sum() > 0
