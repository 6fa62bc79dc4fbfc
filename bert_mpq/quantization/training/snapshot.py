"""A training's state as tensors and JSON values, and back."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from bert_mpq.quantization.training.checkpoint import State
from bert_mpq.quantization.training.student import Frozen, Student
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.records.training import CurvePoint

PARAMETER, MOMENT, CODES, SCALE, OTHER, LOSS = "parameter/", "adamw/", "codes/", "scale/", "other/", "loss"


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Where a training is.

    Args:
        curve: the checks so far.
        best_step: the step of the best one.
        losses: steps whose loss has been added up since the last check.
        seconds: spent so far.
        steps: optimizer steps made.
    """

    curve: tuple[CurvePoint, ...]
    best_step: int
    losses: int
    seconds: float
    steps: int

    def stepped(self, seconds: float) -> "Counters":
        """Return the counters after one more step."""
        return dataclasses.replace(self, steps=self.steps + 1, losses=self.losses + 1, seconds=seconds)


def snapshot(
    student: Student, optimizer: torch.optim.Optimizer, loss: Tensor, best: Frozen, counters: Counters
) -> State:
    """Return everything that decides how the training goes on."""
    tensors = {LOSS: loss.detach()}
    for name, value in student.trained.items():
        tensors[PARAMETER + name] = value.detach()
        for key, moment in optimizer.state[value].items():
            tensors[f"{MOMENT}{key}/{name}"] = moment
    for name, weight in best.weights.items():
        tensors[CODES + name] = weight.codes.to(torch.int8)
        tensors[SCALE + name] = weight.scale
    tensors |= {OTHER + name: value for name, value in best.others.items()}
    bits = {name: weight.bits for name, weight in best.weights.items()}
    return State(
        tensors={name: tensor.contiguous() for name, tensor in tensors.items()},
        facts={**dataclasses.asdict(counters), "bits": bits},
    )


@torch.no_grad()
def restore(
    state: State, student: Student, optimizer: torch.optim.Optimizer, loss: Tensor
) -> tuple[Counters, Frozen]:
    """Put a snapshot back into student, optimizer and loss; return counters and best model.

    Raises:
        KeyError: a tensor or value is missing.
        RuntimeError: a shape is another one's.
    """
    tensors, facts = state.tensors, dict(state.facts)
    loss.copy_(tensors[LOSS])
    for name, value in student.trained.items():
        value.copy_(tensors[PARAMETER + name])
        moments = {key: tensors[f"{MOMENT}{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        device = value.device if optimizer.defaults["fused"] else "cpu"  # else AdamW counts on the CPU
        optimizer.state[value] = {
            "step": moments["step"].to(device),
            "exp_avg": moments["exp_avg"].to(value.device),
            "exp_avg_sq": moments["exp_avg_sq"].to(value.device),
        }
    best = Frozen(
        weights={
            name: QuantizedWeight(
                codes=tensors[CODES + name].to(torch.int16), scale=tensors[SCALE + name], bits=bits
            )
            for name, bits in facts.pop("bits").items()
        },
        others={name.removeprefix(OTHER): value for name, value in tensors.items() if name.startswith(OTHER)},
    )
    curve = tuple(CurvePoint(**point) for point in facts.pop("curve"))
    return Counters(**facts, curve=curve), best
