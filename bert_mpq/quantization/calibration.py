"""Hessians of an encoder's Linears, layer by layer, on the inputs that the layers before it really give.

For each layer the calibration reviews go through the model from the layer they had reached last: layers
before that are skipped, the next ones run as they are now (quantized, where the caller has done so), and the
forward pass ends in the layer asked for. The model itself hands every layer its other arguments (masks,
relative positions), so that no encoder family needs code of its own. Linears that share an input are found
by the identity of the tensor they read.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
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
    """Ends a forward pass in the layer that was asked for."""


class _Pass(threading.local):
    """What one thread's forward pass is about."""

    batch: Batch
    length: int  # of the sequences in the layer asked for; Longformer pads them to whole windows
    reads: list[tuple[Tensor, list[str]]]  # distinct inputs, and the Linears that read each


class _Gate(LayerStandIn):
    """An encoder layer that can be skipped, resumed from stored inputs, or observed."""

    def __init__(self, layer: nn.Module, index: int, hessians: "LayerHessians") -> None:
        super().__init__(layer)
        self._index = index
        self._owner = [hessians]  # in a list: no submodule

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the layer, or not."""
        return self._owner[0].pass_through(self._index, self.layer, hidden, args, kwargs)


class LayerHessians:
    """Hessians of one encoder layer after the other; a context manager that leaves the model's shape alone.

    Args:
        model: the classifier; moved to the calibration's device, and to be used by nobody else meanwhile.
        calibration: reviews of the calibration split; they run in FP32, whatever the machine's precision.
    """

    def __init__(self, model: nn.Module, calibration: Workload) -> None:
        self._model = model
        self._machine = dataclasses.replace(calibration.machine, precision="fp32")
        self._work = dataclasses.replace(calibration, machine=self._machine)
        self._path = layer_path(model)
        self._list = encoder_layers(model)
        self.layers = tuple(self._list)  # to be quantized in place between the calls of of_layer
        self._current = _Pass()
        self._start = self._target = 0
        self._inputs: dict[int, Tensor] = {}  # by review: (tokens, hidden) input of layer _start
        self._next: dict[int, Tensor] = {}  # the same of layer _target
        self._extras: dict[int, int] = {}  # by layer: values it returns beside the hidden states

    def __enter__(self) -> "LayerHessians":
        gates = (_Gate(layer, index, self) for index, layer in enumerate(self._list))
        self._model.set_submodule(self._path, nn.ModuleList(gates))
        self._model.to(self._machine.device).eval()
        return self

    def __exit__(self, *_: object) -> None:
        self._model.set_submodule(self._path, self._list)
        self._inputs.clear()

    def of_layer(self, index: int) -> Mapping[str, Hessian]:
        """Return the Hessian of every Linear of layer ``index`` by its name in the layer.

        Linears with the same inputs share one object. Layers are asked for in rising order; those left out
        run as they are.

        Raises:
            MpqError: E-MEMORY.
        """
        self._target, sums = index, Products()
        hooks = [
            module.register_forward_pre_hook(self._reader(name))
            for name, module in linears(self._list[index])
        ]
        try:
            # In the order of the plan, so that the sums are the same every time.
            for done in run_batches(self._work, self._run, Silent(), ""):
                for names, product in done.result.items():
                    wide = product.cpu() if product.device.type == "mps" else product
                    sums[names] = sums[names] + wide.double() if names in sums else wide.double()
        finally:
            for hook in hooks:
                hook.remove()
        self._start, self._inputs, self._next = index, self._next, {}
        return hessians_by_name(sums)

    def _run(self, batch: Batch) -> Products:
        """Run one batch up to the target; return what its Linears read."""
        self._current.batch, self._current.reads = batch, []
        mask = self._machine.move(batch.attention_mask)
        with self._machine.arithmetic():
            with contextlib.suppress(_Reached):
                self._model(input_ids=self._machine.move(batch.input_ids), attention_mask=mask)
            reads, self._current.reads = self._current.reads, []
            return input_products(reads, mask, self._current.length)

    def _reader(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def read(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            for tensor, names in self._current.reads:
                if tensor is args[0]:
                    names.append(name)
                    return
            self._current.reads.append((args[0], [name]))

        return read

    def pass_through(
        self, index: int, layer: nn.Module, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Skip, resume, run or observe layer ``index``, as this pass needs it."""
        if index < self._start:  # whatever comes out: layer _start reads the stored inputs instead
            return (hidden, *[None] * self._extras[index]) if index in self._extras else hidden
        batch = self._current.batch
        lengths = batch.attention_mask.sum(1).tolist()
        reviews = list(zip(batch.indices.tolist(), lengths, strict=True))
        if index == self._start and self._inputs:
            hidden = torch.zeros_like(hidden)
            for row, (review, length) in enumerate(reviews):
                hidden[row, :length] = self._inputs[review]
        if index == self._target:
            self._current.length = hidden.shape[1]
            for row, (review, length) in enumerate(reviews):
                self._next[review] = hidden[row, :length].clone()
        answer = layer(hidden, *args, **kwargs)
        if index == self._target:
            raise _Reached
        if not isinstance(answer, Tensor):
            self._extras[index] = len(answer) - 1
        return answer


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
