"""An encoder layer beside its quantized twins."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.config import Scope

# What DeBERTa gives every layer: one for the whole batch, whatever its first dimension.
SHARED = frozenset({"relative_pos", "rel_embeddings"})


class ProbedLayer(nn.Module):
    """Encoder layer ``index`` with its quantized twins, on a stack of streams."""

    def __init__(
        self, layer: nn.Module, twins: Sequence[nn.Module], index: int, scope: Scope, keeps_outputs: bool
    ) -> None:
        super().__init__()
        self.layer = layer
        self.twins = nn.ModuleList(twins)
        self.scope = scope
        self.keeps_outputs = keeps_outputs
        before: dict[Scope, int] = {"propagated": index, "isolated": 0, "cumulative": min(index, 1)}
        self.streams = 1 + len(twins) * before[scope]
        # By thread: replicas and concurrent batches share this table, but never a thread.
        self._outputs: dict[int, list[Tensor]] = {}

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
        if self.keeps_outputs:
            self._outputs[threading.get_ident()] = outputs
        stack = outputs[0] if self.scope == "isolated" else torch.cat(outputs)
        return stack if isinstance(answer, Tensor) else (stack, *answer[1:])

    def take_outputs(self) -> list[Tensor]:
        """Return, once, what this thread's last call gave: the FP32 layer's output, then every twin's."""
        return self._outputs.pop(threading.get_ident(), [])


def _repeated(value: Any, rows: int, copies: int) -> Any:
    """Repeat a tensor with one entry per review (the attention mask) for every stream."""
    if copies == 1 or not isinstance(value, Tensor) or value.dim() == 0 or value.shape[0] != rows:
        return value
    return value.repeat(copies, *(1 for _ in value.shape[1:]))


def _tensor(answer: Any) -> Tensor:
    """An encoder layer returns a tensor in newer transformers and a tuple in older ones."""
    return answer if isinstance(answer, Tensor) else answer[0]
