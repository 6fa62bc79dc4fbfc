"""AdamW with a schedule, one step at a time, and its state as tensors that a checkpoint can hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PARAMETER, MOMENT = "parameter/", "adamw/"


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The trained parameters, what trains them, and how far that is.

    Args:
        gradient_norm: gradients are cut to this global norm.
    """

    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    schedule: torch.optim.lr_scheduler.LambdaLR
    gradient_norm: float

    @property
    def steps(self) -> int:
        """Steps made."""
        return self.schedule.last_epoch

    def step(self) -> None:
        """Follow the gradients once, and forget them."""
        trained = [value for group in self.optimizer.param_groups for value in group["params"]]
        nn.utils.clip_grad_norm_(trained, self.gradient_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Return parameters and moments by name; a parameter that never had a gradient has no moments."""
        tensors = {PARAMETER + name: value.detach() for name, value in self.parameters.items()}
        for name, value in self.parameters.items():
            for key, moment in self.optimizer.state[value].items():
                tensors[f"{MOMENT}{key}/{name}"] = moment
        return tensors

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Go on as after ``steps`` steps.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a shape is another one's.
        """
        values = {name: tensors[PARAMETER + name].expand_as(value) for name, value in self.parameters.items()}
        for name, value in self.parameters.items():  # after all look-ups: nothing half-restored
            value.copy_(values[name])
            if f"{MOMENT}step/{name}" not in tensors:
                continue
            moments = {key: tensors[f"{MOMENT}{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            state = {key: moment.to(value.device) for key, moment in moments.items()}
            if not self.optimizer.defaults["fused"]:
                state["step"] = moments["step"].cpu()  # AdamW counts there
            self.optimizer.state[value] = state
        self.schedule.last_epoch = steps
        for group, rate, factor in zip(
            self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True
        ):
            group["lr"] = rate * factor(steps)
