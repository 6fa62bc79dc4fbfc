"""How much every review's margin would change if a Linear's weight were quantized: one backward pass.

The margin m = z_1 - z_0 is all that two logits say. For review r and a Linear with input X (tokens x in),
output Y and weight error D_b = Q_b(W) - W at width b, to first order

    dm[r, b] = sum over tokens of < d m_r / d Y, X D_b^T > = < (d m_r / d Y)^T X, D_b >.

One backward pass of the sum of all margins gives the gradients of every review at every Linear, because
reviews do not mix. The product (d m_r / d Y)^T X serves all widths: a forward pass, a backward pass to the
activations and one product of the size of a forward pass, whatever the number of widths. No weight needs a
gradient.

dm is the gradient with respect to c[r, b] of the margin when Y + sum_b c[r, b] X D_b^T stands for Y. So every
Linear takes such a c of zeros, and the backward pass leaves dm in its gradient: nothing is stored in modules,
and activations are freed as it goes. ``torch.nn.DataParallel`` may replicate the module.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bert_mpq.compute.encoder import LayerStandIn, encoder_layers, linears
from bert_mpq.sensitivity.twins import Twins

CHUNK_VALUES = 1 << 22  # products of weight size that are held at a time: 16 MB


class _Pass(threading.local):
    """The c of every Linear, in a thread's forward pass; replicas and batches never share a thread."""

    changes: tuple[Tensor, ...]


class _PerturbableLinear(torch.autograd.Function):
    """A Linear whose backward pass also says what errors of its weight would do."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, errors: Tensor, change: Tensor
    ) -> Tensor:
        """Return x W^T + bias; ``change`` is (B, widths) zeros, ``errors`` (widths, out, in)."""
        ctx.save_for_backward(x, weight, errors)
        ctx.rows = len(change)
        answer = x @ weight.T
        # Not torch.nn.functional.linear: its answer can be a view, which Longformer may not write to.
        return answer if bias is None else answer.add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None, Tensor]:
        """Return the gradients of x, and of ``change``."""
        x, weight, errors = ctx.saved_tensors
        own = gradient @ weight.to(gradient.dtype) if ctx.needs_input_grad[0] else None
        return own, None, None, None, weight_changes(gradient, x, errors, ctx.rows)


def weight_changes(gradient: Tensor, x: Tensor, errors: Tensor, rows: int) -> Tensor:
    """Return (B, widths) sums over tokens of <gradient, x D^T> for each review and weight error D.

    Args:
        gradient: (B, tokens, out), or with both first dimensions in one; (tokens, B, out) in Longformer.
        x: (B, tokens, in), likewise.
        errors: (widths, out, in).
        rows: B.

    Raises:
        ValueError: no dimension is a multiple of B.
    """
    by_review, inputs = (_by_review(tensor, rows) for tensor in (gradient, x.to(gradient.dtype)))
    flat = errors.flatten(1).T
    size = max(1, CHUNK_VALUES // len(flat))
    parts = []
    with torch.autocast(gradient.device.type, enabled=False):
        for start in range(0, rows, size):
            chunk = slice(start, start + size)
            products = torch.bmm(by_review[chunk].transpose(1, 2), inputs[chunk]).flatten(1)
            parts.append(products.to(errors.dtype) @ flat)
    return torch.cat(parts)


def _by_review(tensor: Tensor, rows: int) -> Tensor:
    """Return (B, tokens, features)."""
    if tensor.dim() == 3 and tensor.shape[0] != rows == tensor.shape[1]:
        return tensor.transpose(0, 1)
    if tensor.shape[0] % rows:
        raise ValueError(f"a Linear works on {tuple(tensor.shape)} for {rows} reviews")
    return tensor.reshape(rows, -1, tensor.shape[-1])


class _Perturbable(LayerStandIn):
    """Stands in for a Linear.

    Args:
        errors: (widths, out, in) what quantization adds to its weight.
        index: its place in the c of a pass.
        current: where the pass under way has its c.
    """

    errors: Tensor

    def __init__(self, module: nn.Linear, errors: Tensor, index: int, current: _Pass) -> None:
        super().__init__(module)
        self.register_buffer("errors", errors)
        self._index = index
        self._current = current

    def forward(self, x: Tensor) -> Tensor:
        change, own = self._current.changes[self._index], cast(nn.Linear, self.layer)
        answer: Tensor = _PerturbableLinear.apply(  # type: ignore[no-untyped-call]
            x, own.weight, own.bias, self.errors, change
        )
        return answer


class DifferentiatedClassifier(nn.Module):
    """A copy of a classifier of two labels that tells how every weight error would move the margins.

    Args:
        twins: of the classifier's whole layers; the copy shares their FP32 weights.
    """

    def __init__(self, twins: Twins) -> None:
        super().__init__()
        self.model = twins.bare_model()
        self.widths = len(twins.probe.bits)
        self._current = _Pass()
        self.units: tuple[str, ...] = ()
        for index, (layer, made) in enumerate(zip(encoder_layers(self.model), twins.layers, strict=True)):
            errors = _weight_errors(layer, [dict(linears(twin)) for twin in made])
            for name, module in linears(layer):
                stand_in = _Perturbable(module, errors[name], len(self.units), self._current)
                layer.set_submodule(name, stand_in)
                self.units += (f"layer_{index}.{name}",)
        self.requires_grad_(False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return each review's margin, and what it would change by.

        Not to be called in inference mode, whose tensors autograd cannot keep; ``torch.no_grad`` does.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T).

        Returns:
            (B, 1 + units x widths): the margin, then dm, the widths of the first unit first.
        """
        # A replica of DataParallel has no parameters to ask.
        errors = next(each.errors for each in self.modules() if isinstance(each, _Perturbable))
        with torch.enable_grad():
            changes = tuple(
                torch.zeros(
                    len(input_ids), self.widths, dtype=errors.dtype, device=errors.device, requires_grad=True
                )
                for _ in self.units
            )
            self._current.changes = changes
            try:
                logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            finally:
                del self._current.changes
            margins = logits[:, 1] - logits[:, 0]
            found = torch.autograd.grad(margins.sum(), changes, materialize_grads=True)
        return torch.cat([margins.detach()[:, None].to(errors.dtype), *found], 1)


@torch.no_grad()
def _weight_errors(layer: nn.Module, twins: Sequence[Mapping[str, nn.Linear]]) -> Mapping[str, Tensor]:
    """Return the (twins, out, in) errors of every Linear of a layer, by name."""
    # Another pass can have moved the layer to a GPU, and only those twins that it ran.
    return {
        name: torch.stack([twin[name].weight.to(module.weight) - module.weight for twin in twins])
        for name, module in linears(layer)
    }
