"""An encoder layer beside its quantized twins."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.compute.encoder import LayerStandIn
from bert_mpq.settings.choices import Pooling, Scope

# What DeBERTa gives every layer: one for the whole batch, whatever its first dimension.
SHARED = frozenset({"relative_pos", "rel_embeddings"})


class ProbedLayer(LayerStandIn):
    """An encoder layer with its quantized twins, on a stack of streams.

    Args:
        earlier: quantized copies of the layers before it.
        scope: as in ``Probe``.
        pooling: of the outputs that are to be compared; None = none are, of this layer.
    """

    def __init__(
        self,
        layer: nn.Module,
        twins: Sequence[nn.Module],
        earlier: int,
        scope: Scope,
        pooling: Pooling | None,
    ) -> None:
        super().__init__(layer)
        self.twins = nn.ModuleList(twins)
        self.scope = scope
        self.pooling = pooling
        before: dict[Scope, int] = {
            "propagated": earlier,
            "isolated": 0,
            "cumulative": len(twins) if earlier else 0,
        }
        self.streams = 1 + before[scope]
        # By thread: replicas and concurrent batches share these tables, but never a thread.
        self._masks: dict[int, Tensor] = {}
        self._pooled: dict[int, Tensor] = {}

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return the streams for the next layer, in the shape the encoder expects.

        Args:
            hidden: (streams * B, T, hidden).
            args: arguments of the layer; tensors whose first dimension is B are repeated to match.
            kwargs: likewise.
        """
        rows = hidden.shape[0] // self.streams

        def run(layer: nn.Module, stack: Tensor) -> Any:
            copies = stack.shape[0] // rows
            return layer(
                stack,
                *(_repeated(value, rows, copies) for value in args),
                **{
                    name: value if name in SHARED else _repeated(value, rows, copies)
                    for name, value in kwargs.items()
                },
            )

        answer = run(self.layer, hidden if self.scope == "propagated" else hidden[:rows])
        sources = [hidden[:rows]] * len(self.twins)
        if self.scope == "cumulative" and self.streams > 1:
            sources = list(hidden[rows:].chunk(len(self.twins)))
        perturbed = [_tensor(run(twin, source)) for twin, source in zip(self.twins, sources, strict=True)]
        outputs = [_tensor(answer), *perturbed]
        if self.pooling is not None:  # at once: the outputs themselves are large, and may be written to
            mask = self._masks[threading.get_ident()]
            streams = [stream for output in outputs for stream in output.chunk(output.shape[0] // rows)]
            pooled = torch.cat([_pool(stream, mask, self.pooling) for stream in streams], 1)
            self._pooled[threading.get_ident()] = pooled
        stack = outputs[0] if self.scope == "isolated" else torch.cat(outputs)
        return stack if isinstance(answer, Tensor) else (stack, *answer[1:])

    def expect(self, attention_mask: Tensor) -> None:
        """Set the (B, T) mask of this thread's next call."""
        self._masks[threading.get_ident()] = attention_mask

    def take_pooled(self) -> Tensor | None:
        """Return, once, the pooled streams of this thread's last call, and forget its mask.

        Returns:
            (B, streams, hidden): the FP32 layer's output (in scope propagated also older streams), then that
            of every twin; (B, streams, T, hidden) without pooling; None where nothing was kept or the call
            failed.
        """
        self._masks.pop(threading.get_ident(), None)
        return self._pooled.pop(threading.get_ident(), None)


def _pool(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """Return (B, 1, hidden) from (B, T, hidden): mean over real tokens, or the first token.

    Without pooling (B, 1, T, hidden), padding included. Longformer pads the batch to whole windows: what
    stands behind the mask is left out.
    """
    hidden = hidden[:, : attention_mask.shape[1]]
    if pooling == "none":
        return hidden[:, None]
    if pooling == "cls":
        return hidden[:, :1]
    weights = attention_mask.float()
    weights = weights / weights.sum(1, keepdim=True)
    # Not a matrix product: in TF32 or bf16 that would round the mean itself.
    return (hidden * weights[:, :, None]).sum(1, dtype=torch.float32, keepdim=True)


def _repeated(value: Any, rows: int, copies: int) -> Any:
    """Repeat a tensor with one entry per review (the attention mask) for every stream."""
    if copies == 1 or not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != rows:
        return value
    return value.repeat(copies, *(1 for _ in value.shape[1:]))


def _tensor(answer: Any) -> Tensor:
    """An encoder layer returns a tensor in newer transformers and a tuple in older ones."""
    return answer if isinstance(answer, Tensor) else answer[0]
