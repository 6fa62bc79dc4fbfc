"""Learned rounding, one encoder layer after the other: codes and scales that give what the FP32 layer gives.

A layer sees the inputs that the quantized layers before it give; its target is the output of the FP32 layer
on FP32 inputs. A shift before the rounding and a factor on every scale follow the sign of their gradients
(AutoRound, Cheng et al. 2023, with the target of a whole layer as in BRECQ, Li et al. 2021). No labels.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize

from bert_mpq.compute.batches import Batch, Indices, shuffled_batches
from bert_mpq.compute.forward import attempted, no_memory, run_batches
from bert_mpq.compute.reporting import Silent
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.quantization.weight import QuantizedWeight

REACH = 0.45  # of a weight to either side of its first code: near enough to the border to be moved over it
Weights = Mapping[str, QuantizedWeight]


@dataclass(frozen=True, kw_only=True)
class RoundingRecipe:
    """How the rounding of a layer is learned; the defaults were chosen on calibration reviews.

    Args:
        steps: of sign descent; the rate falls linearly from 1 / steps to 0, half of it for the factors.
        batch_size: reviews of a step.
        seed: decides the order of the reviews, and the half of them that measures the error.
    """

    steps: int = 200
    batch_size: int = 8
    seed: int = 42

    def forward_passes(self, reviews: int) -> int:
        """Return the forward passes of single reviews, through a layer, that take as long as it does.

        Args:
            reviews: calibration reviews.
        """
        return 3 * self.steps * self.batch_size + 5 * reviews


class _Round(torch.autograd.Function):
    """codes * step, straight through the rounding of codes and of the step to float16."""

    @staticmethod
    def forward(ctx: Any, position: Tensor, factor: Tensor, scale: Tensor, half: int) -> Tensor:
        """Return (out, groups, size) for positions of that shape, factors and scales (out, groups, 1)."""
        rounded, step = torch.round(position), _float16(scale, factor)
        codes = rounded.clamp(-half, half - 1)
        ctx.save_for_backward(codes, codes == rounded, step, scale)
        return codes * step

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Positions beyond the grid get no gradient."""
        codes, inside, step, scale = ctx.saved_tensors
        return gradient * step * inside, (gradient * codes).sum(-1, keepdim=True) * scale, None, None


class LearnedRounding(nn.Module):
    """Parametrization of a (out, in) weight: codes round(clamp(w / s, c - 0.45, c + 0.45) + shift), scales
    s * factor.

    Args:
        start: codes c and scales s; shift 0 and factor 1 give exactly them.
        weight: (out, in) the FP32 weight w.
    """

    ratio: Tensor
    scale: Tensor

    def __init__(self, start: QuantizedWeight, weight: Tensor) -> None:
        super().__init__()
        self.bits = start.bits
        scale = start.scale.float()[:, :, None]
        codes = start.codes.float().reshape(*start.scale.shape, -1)
        ratio = torch.clamp(weight.reshape(codes.shape) / scale, codes - REACH, codes + REACH)
        self.register_buffer("ratio", ratio)
        self.register_buffer("scale", scale)
        self.shift = nn.Parameter(torch.zeros_like(ratio))
        self.factor = nn.Parameter(torch.ones_like(scale))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the (out, in) weight that the codes and float16 scales of now stand for."""
        rounded: Tensor = _Round.apply(  # type: ignore[no-untyped-call]
            self.ratio + self.shift, self.factor, self.scale, 2 ** (self.bits - 1)
        )
        return rounded.reshape(weight.shape)

    @torch.no_grad()
    def freeze(self) -> QuantizedWeight:
        """Return codes and float16 scales, in host memory; their ``dequantize`` equals ``forward``."""
        half = 2 ** (self.bits - 1)
        codes = torch.round(self.ratio + self.shift).clamp_(-half, half - 1).flatten(1)
        scale = _float16(self.scale, self.factor)[:, :, 0].half()
        return QuantizedWeight(codes=codes.to(torch.int16), scale=scale, bits=self.bits).cpu()


def _float16(scale: Tensor, factor: Tensor) -> Tensor:
    """Return scale * factor as float16 holds it; the scale itself where that is 0 or infinite."""
    step = (scale * factor).half().float()
    return torch.where(step.isfinite() & (step != 0), step, scale)


class LayerRounding:
    """Learns the rounding of one layer after the other.

    Args:
        teacher: the reviews in the FP32 model.
        student: the same reviews in the model that is being quantized.
        recipe: how to learn.
    """

    def __init__(self, teacher: LayerReviews, student: LayerReviews, recipe: RoundingRecipe) -> None:
        self._teacher, self._student, self._recipe = teacher, student, recipe
        self._work = student.work
        self._targets: dict[int, Tensor] = {}  # by review: (tokens, hidden) output of the FP32 layer
        self._budget = self._work.batch_tokens

    def learn(self, index: int, start: Weights, originals: Mapping[str, Tensor]) -> Iterator[Weights | None]:
        """Give Linears of layer ``index`` better codes and scales, in place; the layer's error never rises.

        Args:
            index: of the layer; its other Linears stay as they are.
            start: codes and scales by name in the layer.
            originals: (out, in) the FP32 weights of the same.

        Yields:
            None after every step; at the end, the new codes and scales.

        Raises:
            MpqError: E-MEMORY.
        """
        self._student.go_to(index)
        self._teacher.go_to(index)
        self._targets = self._teacher.outputs()
        layer = self._student.layers[index]
        modules = {}
        for name, weight in start.items():
            linear = layer.get_submodule(name)
            modules[name] = LearnedRounding(weight, originals[name].cpu()).to(self._work.machine.device)
            parametrize.register_parametrization(linear, "weight", modules[name])
        before = self._error()
        yield from self._descend(modules)
        better = self._error() < before
        found = {name: module.freeze() for name, module in modules.items()} if better else start
        for name, weight in found.items():
            linear = layer.get_submodule(name)
            parametrize.remove_parametrizations(linear, "weight")
            with torch.no_grad():
                linear.get_parameter("weight").copy_(weight.dequantize())
        yield found

    def _descend(self, modules: Mapping[str, LearnedRounding]) -> Iterator[None]:
        """Follow the sign of the gradients; yield after every step.

        The error rises at first, when the steps are large, and falls as they get smaller: the end is best.
        """
        recipe, batches = self._recipe, self._batches()
        parameters = [value for module in modules.values() for value in (module.shift, module.factor)]
        for step in range(recipe.steps):
            rate = (1 - step / recipe.steps) / recipe.steps
            gradients = self._gradients(next(batches), parameters)
            with torch.no_grad():
                for place, gradient in enumerate(gradients):
                    parameters[place].sub_(gradient.sign(), alpha=rate / 2 if place % 2 else rate)
            yield None

    def _batches(self) -> Iterator[Indices]:
        """Yield reviews of similar length, all of them once before any comes again."""
        rng = np.random.default_rng(self._recipe.seed)
        while True:
            yield from shuffled_batches(self._work.tokens.lengths, self._recipe.batch_size, rng)

    def _gradients(self, reviews: Indices, parameters: list[nn.Parameter]) -> list[Tensor]:
        """Return the gradients of the squared error over these reviews; in parts when memory runs out."""
        while (total := attempted(lambda: self._of_parts(reviews, parameters))) is None:
            if self._budget <= int(self._work.tokens.lengths[reviews].max()):
                raise no_memory()
            self._budget //= 2
        return total[0]

    def _of_parts(self, reviews: Indices, parameters: list[nn.Parameter]) -> list[Tensor]:
        machine = self._work.machine
        total = [torch.zeros_like(parameter) for parameter in parameters]
        # The other kernels of a GPU add up gradients in an order that changes from run to run.
        kernels = [SDPBackend.MATH] if machine.device.type == "cuda" else None
        with machine.working(concurrent=False), machine.arithmetic(gradients=True):
            for part in self._work.tokens.plan(self._budget, reviews):
                batch = self._work.tokens.batch(part)
                with sdpa_kernel(kernels) if kernels else contextlib.nullcontext():
                    error = self._squares(batch).sum()
                    found = torch.autograd.grad(error, parameters)
                for whole, one in zip(total, found, strict=True):
                    whole += one
        return total

    def _squares(self, batch: Batch) -> Tensor:
        """Return (B,) squared errors of the layer's output over the real tokens of each review."""
        answer = self._student.run(batch)
        rows = zip(answer, batch.indices.tolist(), batch.lengths, strict=True)
        errors = [(row[:length] - self._targets[review]).square().sum() for row, review, length in rows]
        return torch.stack(errors)

    def _error(self) -> float:
        """Return the squared error of the layer's output over half of the reviews."""
        machine, count = self._work.machine, len(self._work.tokens)
        half = np.random.default_rng((self._recipe.seed, count)).permutation(count)[: -(-count // 2)]

        def squares(batch: Batch) -> Tensor:
            with machine.arithmetic():
                return self._squares(batch).cpu().double().sum()

        done = run_batches(self._work, squares, Silent(), "", [np.sort(half)])
        return float(sum(part.result for part in done))
