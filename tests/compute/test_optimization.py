"""AdamW stopped at any step and restored goes on to the same weights, bit by bit."""

import pytest
import torch
from torch import nn

from bert_mpq.compute.optimization import Optimization

STEPS = 9


def made():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    parameters = dict(model.named_parameters())
    return model, Optimization(
        parameters=parameters, optimizer=optimizer, schedule=schedule, gradient_norm=0.5
    )


def run(model, optimization, last):
    while optimization.steps < last:
        inputs = torch.full((4, 3), float(optimization.steps + 1))
        model(inputs).square().sum().backward()
        optimization.step()
    return model.weight.detach().clone()


@pytest.mark.parametrize("stop", [1, 4, STEPS - 1])
def test_a_restored_optimization_goes_on_as_if_it_had_not_been_stopped(stop):
    whole = run(*made(), STEPS)
    model, optimization = made()
    run(model, optimization, stop)
    kept = {name: tensor.clone() for name, tensor in optimization.state().items()}
    other, resumed = made()
    with torch.no_grad():
        other.weight.zero_()
    resumed.restore(kept, stop)
    assert resumed.steps == stop
    assert run(other, resumed, STEPS).equal(whole)


def test_a_state_without_a_moment_is_refused():
    model, optimization = made()
    run(model, optimization, 1)
    state = optimization.state()
    del state["adamw/exp_avg/bias"]
    with pytest.raises(KeyError):
        made()[1].restore(state, 1)


def test_gradients_are_cut_to_the_norm_and_forgotten_after_the_step():
    model, optimization = made()
    before = model.weight.detach().clone()
    model.weight.grad, model.bias.grad = torch.full((2, 3), 1e6), torch.zeros(2)
    seen = []
    optimization.optimizer.register_step_pre_hook(lambda *_: seen.append(model.weight.grad.norm().item()))
    optimization.step()
    assert seen == [pytest.approx(0.5, rel=1e-4)]
    assert model.weight.grad is None
    assert not model.weight.equal(before)
