"""Calibration reviews on their way through a model, layer by layer, and the Hessians that they give.

The inputs of one encoder layer are stored at a time. A pass starts from them: layers before that one are
skipped, and the pass ends in it. The next layer's inputs come from the layers as they are then (quantized,
where the caller has done so). The model itself hands every layer its other arguments (masks, relative
positions), so that no encoder family needs code of its own. Linears that share an input are found by the
identity of the tensor they read.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bert_mpq.compute.batches import Batch
from bert_mpq.compute.encoder import LayerStandIn, encoder_layers, layer_path, linears
from bert_mpq.compute.forward import run_batches
from bert_mpq.compute.reporting import Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.hessian import Hessian

Products = dict[tuple[str, ...], Tensor]


class _Reached(Exception):
    """Ends a forward pass in the layer that was asked for; its argument is what the layer gave."""


class _Pass(threading.local):
    """What one thread's forward pass is about."""

    batch: Batch
    length: int  # of the sequences in the layer asked for; Longformer pads them to whole windows
    reads: list[tuple[Tensor, list[str]]]  # distinct inputs, and the Linears that read each


class _Gate(LayerStandIn):
    """An encoder layer that can be skipped, resumed from stored inputs, or observed."""

    def __init__(self, layer: nn.Module, index: int, reviews: "LayerReviews") -> None:
        super().__init__(layer)
        self._index = index
        self._owner = [reviews]  # in a list: no submodule

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self._owner[0].pass_through(self._index, self.layer, hidden, args, kwargs)


class LayerReviews:
    """Reviews at one encoder layer after the other; a context manager that leaves the model's shape alone.

    Args:
        model: the classifier; moved to the calibration's device, and to be used by nobody else meanwhile.
        calibration: reviews of the calibration split; they run in FP32, whatever the machine's precision.
    """

    def __init__(self, model: nn.Module, calibration: Workload) -> None:
        self.model = model
        self.machine = dataclasses.replace(calibration.machine, precision="fp32")
        self.work = dataclasses.replace(calibration, machine=self.machine)
        self._path = layer_path(model)
        self._list = encoder_layers(model)
        self.layers = tuple(self._list)  # to be quantized in place
        self._current = _Pass()
        self._start = 0
        self._target: int | None = None  # the layer whose inputs this pass stores
        self._inputs: dict[int, Tensor] = {}  # by review: (tokens, hidden) input of layer _start
        self._next: dict[int, Tensor] = {}  # the same of layer _target
        self._extras: dict[int, int] = {}  # by layer: values it returns beside the hidden states

    def __enter__(self) -> "LayerReviews":
        gates = (_Gate(layer, index, self) for index, layer in enumerate(self._list))
        self.model.set_submodule(self._path, nn.ModuleList(gates))
        self.model.to(self.machine.device).eval()
        return self

    def __exit__(self, *_: object) -> None:
        self.model.set_submodule(self._path, self._list)
        self._inputs.clear()

    def go_to(self, index: int) -> None:
        """Bring all reviews to the input of layer ``index``; layers are gone to in rising order.

        Raises:
            MpqError: E-MEMORY.
        """
        if index == self._start and self._inputs:
            return
        self._target = index
        for _ in run_batches(self.work, self._store, Silent(), ""):
            pass
        self._start, self._inputs, self._target, self._next = index, self._next, None, {}

    def _store(self, batch: Batch) -> None:
        with self.machine.arithmetic():
            self._pass(batch)

    def outputs(self) -> dict[int, Tensor]:
        """Return, by review, the (tokens, hidden) output of the layer reached; raises MpqError E-MEMORY."""
        found: dict[int, Tensor] = {}

        def rows(batch: Batch) -> list[Tensor]:
            with self.machine.arithmetic():
                answer = self.run(batch)
                return [row[:length].clone() for row, length in zip(answer, batch.lengths, strict=True)]

        for done in run_batches(self.work, rows, Silent(), ""):
            found |= dict(zip(done.batch.indices.tolist(), done.result, strict=True))
        return found

    def run(self, batch: Batch) -> Tensor:
        """Return what the layer reached gives for a batch of the reviews: (B, L, hidden), L at least T."""
        answer = self._pass(batch)
        hidden: Tensor = answer if isinstance(answer, Tensor) else answer[0]
        return hidden

    def _pass(self, batch: Batch) -> Any:
        self._current.batch, self._current.reads = batch, []
        try:
            self.model(**batch.inputs(self.machine))
        except _Reached as reached:
            return reached.args[0]
        raise RuntimeError("the model has not run its encoder layers")

    def pass_through(
        self, index: int, layer: nn.Module, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Skip, resume or run layer ``index``, as this pass needs it."""
        if index < self._start:  # whatever comes out: layer _start reads the stored inputs instead
            return (hidden, *[None] * self._extras[index]) if index in self._extras else hidden
        batch = self._current.batch
        reviews = list(zip(batch.indices.tolist(), batch.lengths, strict=True))
        if index == self._start and self._inputs:
            hidden = torch.zeros_like(hidden)
            for row, (review, length) in enumerate(reviews):
                hidden[row, :length] = self._inputs[review]
        if index == self._target:
            for row, (review, length) in enumerate(reviews):
                self._next[review] = hidden[row, :length].clone()
            raise _Reached(hidden)
        self._current.length = hidden.shape[1]
        answer = layer(hidden, *args, **kwargs)
        if self._target is None:
            raise _Reached(answer)
        if not isinstance(answer, Tensor):
            self._extras[index] = len(answer) - 1
        return answer

    def hessians(self, index: int) -> Mapping[str, Hessian]:
        """Return the Hessian of every Linear of layer ``index``, as it is now, by its name in the layer.

        Linears with the same inputs share one object. Layers left out run as they are.

        Raises:
            MpqError: E-MEMORY.
        """
        self.go_to(index)
        sums = Products()
        with self._observed():
            # In the order of the plan, so that the sums are the same every time.
            for done in run_batches(self.work, self._products, Silent(), ""):
                for names, product in done.result.items():
                    wide = product.cpu() if product.device.type == "mps" else product
                    sums[names] = sums[names] + wide.double() if names in sums else wide.double()
        return hessians_by_name(sums)

    def _products(self, batch: Batch) -> Products:
        """Run one batch; return what the Linears of the layer read."""
        with self.machine.arithmetic():
            self.run(batch)
            reads, self._current.reads = self._current.reads, []
            return input_products(reads, self.machine.move(batch.attention_mask), self._current.length)

    @contextlib.contextmanager
    def _observed(self) -> Iterator[None]:
        """Note what the Linears of the layer reached read, as long as the context lasts."""
        hooks = [
            module.register_forward_pre_hook(self._reader(name))
            for name, module in linears(self.layers[self._start])
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _reader(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def read(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            for tensor, names in self._current.reads:
                if tensor is args[0]:
                    names.append(name)
                    return
            self._current.reads.append((args[0], [name]))

        return read


def input_products(
    reads: Sequence[tuple[Tensor, Sequence[str]]], mask: Tensor, length: int | None = None
) -> Products:
    """Return (in, in) float32 X^T X of every distinct input, by the names of the Linears that read it.

    Padding is left out. An input without a row for every token (the relative positions of DeBERTa) is the
    same for all reviews of a batch and counts once for each.

    Args:
        reads: inputs (B, L, in), (L, B, in) or of another shape (..., in), and who reads them.
        mask: (B, T) 1 for tokens, 0 for padding.
        length: L, which is at least T; what lies behind T is padding. Default T.
    """
    length = length or mask.shape[1]
    products: Products = {}
    for tensor, names in reads:
        tokens = _per_token(tensor, mask, length)
        rows = (tensor.reshape(-1, tensor.shape[-1]) if tokens is None else tokens[mask.bool()]).float()
        product = (rows.T @ rows) * (len(mask) if tokens is None else 1)
        key = tuple(names)
        products[key] = products[key] + product if key in products else product
    return products


def _per_token(tensor: Tensor, mask: Tensor, length: int) -> Tensor | None:
    """Return (B, T, in) of an input that has a row for every token, else None."""
    reviews, real = mask.shape
    for view in (tensor, tensor.transpose(0, 1)) if tensor.dim() == 3 else ():
        if view.shape[:2] == (reviews, length):
            return view[:, :real]
    return None


def hessians_by_name(sums: Products) -> dict[str, Hessian]:
    """Add up the inputs of every Linear; those with the same inputs get the same object."""
    by_inputs: dict[tuple[tuple[str, ...], ...], Hessian] = {}
    hessians = {}
    for name in dict.fromkeys(name for names in sums for name in names):
        inputs = tuple(names for names in sums if name in names)
        if inputs not in by_inputs:
            by_inputs[inputs] = Hessian(matrix=torch.stack([sums[names] for names in inputs]).sum(0))
        hessians[name] = by_inputs[inputs]
    return hessians
