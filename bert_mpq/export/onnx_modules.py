"""Modules that become operators of ONNX Runtime: a classifier's weights as codes, in the exported graph.

``MatMulNBits`` and ``GatherBlockQuantized`` (domain com.microsoft) hold codes of 2, 4 and 8 bits, counted
from 2^(bits-1), low bits first, in blocks along the inputs with one float32 scale each. Codes of 3, 5, 6 and
7 bits go into the next container: the same values, more bytes. A weight with one scale per channel repeats
it in every block.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bert_mpq.export.packed import PackedModel, pack
from bert_mpq.quantization import rtn
from bert_mpq.quantization.weight import QuantizedWeight

CONTAINERS = (2, 4, 8)
BLOCKS = (128, 64, 32, 16)  # onnxruntime computes zeros with 512 (its issue 28551)
DOMAIN = "com.microsoft"
ACTIVATION_BITS = 8


def with_int8_activations(model: nn.Module, packed: PackedModel, linears: Iterable[str]) -> nn.Module:
    """Return a copy whose encoder Linears multiply 8-bit codes by 8-bit activations; it can only be exported.

    Weights of 8 bits with one scale per channel keep their codes, the others are rounded once more.

    Args:
        linears: names of the encoder Linears.
    """
    state, weights = packed.state(), dict(packed.weights)
    for name in linears:
        weight = weights.get(name)
        if weight is None or weight.bits != ACTIVATION_BITS or weight.scale.shape[1] != 1:
            weights[name] = rtn.quantize(state[f"{name}.weight"], ACTIVATION_BITS, None)
    tensors = {name: tensor for name, tensor in packed.tensors.items() if name[:-7] not in weights}
    return with_operators(model, PackedModel(weights=weights, tensors=tensors), Int8Linear)


def with_operators(
    model: nn.Module,
    packed: PackedModel,
    linear: Callable[[QuantizedWeight, Tensor | None], nn.Module] | None = None,
) -> nn.Module:
    """Return a copy of a classifier that computes with what ``packed`` stores; it can only be exported.

    Args:
        packed: the same model as codes and plain tensors; its codes have no zero points.
        linear: makes a Linear of codes and bias; default ``CodedLinear``.
    """
    linear = linear or CodedLinear
    copied = copy.deepcopy(model)
    halves = {
        name.removesuffix(".weight"): tensor
        for name, tensor in packed.tensors.items()
        if name.endswith(".weight") and tensor.dtype == torch.float16
    }
    for name, module in model.named_modules():
        table = isinstance(module, nn.Embedding)
        if name in packed.weights:
            weight = packed.weights[name]
            new: nn.Module = CodedTable(weight) if table else linear(weight, module.bias)
        elif name in halves:
            half = halves[name]
            new = HalfTable(half) if table else HalfLinear(half, module.bias)
        else:
            continue
        copied.set_submodule(name, new)
    return copied


def stored_bytes(packed: PackedModel) -> int:
    """Return the bytes of codes in their containers, of float32 scales and of plain tensors."""
    blocks = [Blocks(weight, CONTAINERS) for weight in packed.weights.values()]
    coded = sum(each.codes.nbytes + each.scales.nbytes for each in blocks)
    return coded + sum(tensor.nbytes for tensor in packed.tensors.values())


class CodedLinear(nn.Module):
    """A Linear whose weight is codes: ``MatMulNBits``, computing in float32 with exactly that weight."""

    def __init__(self, weight: QuantizedWeight, bias: Tensor | None) -> None:
        super().__init__()
        self.blocks = Blocks(weight, CONTAINERS)
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., out) of (..., in)."""
        outputs, columns = self.blocks.shape
        attributes = {
            "N": outputs,
            "K": columns,
            "bits": self.blocks.bits,
            "block_size": self.blocks.size,
            "accuracy_level": 0,  # float32 arithmetic
        }
        operands = [inputs, self.blocks.codes, self.blocks.scales]
        return _added(_operator("MatMulNBits", operands, attributes, outputs, inputs), self.bias)


class Int8Linear(nn.Module):
    """A Linear that rounds its inputs to 8 bits, one scale for all of them, and adds up integers.

    ONNX Runtime fuses the operators of ``forward`` into ``DynamicQuantizeMatMul``.
    """

    codes: Tensor
    scales: Tensor
    zero: Tensor

    def __init__(self, weight: QuantizedWeight, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("codes", weight.codes.T.to(torch.int8).contiguous())
        self.register_buffer("scales", weight.scale.float()[:, 0].contiguous())
        self.register_buffer("zero", torch.zeros((), dtype=torch.int8))
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., out) of (..., in)."""
        codes, scale, zero = torch.onnx.ops.symbolic_multi_out(
            "DynamicQuantizeLinear",
            [inputs],
            {},
            dtypes=(torch.uint8, torch.float32, torch.uint8),
            shapes=(inputs.shape, (), ()),
        )
        shape = (*inputs.shape[:-1], self.codes.shape[1])
        product: Tensor = torch.onnx.ops.symbolic(
            "MatMulInteger", [codes, self.codes, zero, self.zero], {}, dtype=torch.int32, shape=shape
        )
        return _added(product.float() * (scale * self.scales), self.bias)


class CodedTable(nn.Module):
    """An embedding table of codes: ``GatherBlockQuantized``."""

    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__()
        self.blocks = Blocks(weight, CONTAINERS[1:])

    def forward(self, indices: Tensor) -> Tensor:
        """Return (..., features) of (...) row numbers."""
        blocks, columns = self.blocks, self.blocks.shape[1]
        attributes = {"gather_axis": 0, "quantize_axis": 1, "block_size": blocks.size, "bits": blocks.bits}
        operands = [blocks.codes.flatten(1), indices, blocks.scales]
        padded = blocks.scales.shape[1] * blocks.size
        rows = _operator("GatherBlockQuantized", operands, attributes, padded, indices[..., None])
        return rows if padded == columns else rows[..., :columns]


class HalfLinear(nn.Module):
    """A Linear whose weight is stored in float16."""

    half_weight: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("half_weight", weight)
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., out) of (..., in)."""
        return nn.functional.linear(inputs, self.half_weight.float(), self.bias)


class HalfTable(nn.Module):
    """An embedding table in float16; only the rows that are looked up become float32."""

    half_weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("half_weight", weight)

    def forward(self, indices: Tensor) -> Tensor:
        """Return (..., features) of (...) row numbers."""
        return nn.functional.embedding(indices, self.half_weight).float()


class Blocks(nn.Module):
    """The codes and scales of a weight, block by block.

    Args:
        weight: (out, in) codes without a zero point.
        containers: bits that a code can be stored in.

    Attributes:
        bits: of a stored code.
        size: codes per block; the last block of a row is filled up with zeros.
        codes: (out, blocks, size * bits / 8) uint8.
        scales: (out, blocks) float32.
        shape: (out, in).
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, weight: QuantizedWeight, containers: tuple[int, ...]) -> None:
        super().__init__()
        rows, columns = self.shape = tuple(weight.codes.shape)
        groups = weight.scale.shape[1]
        self.bits = min(bits for bits in containers if bits >= weight.bits)
        of_channel = next((size for size in BLOCKS if columns % size == 0), BLOCKS[-1])
        self.size = columns // groups if groups > 1 else of_channel
        blocks = -(-columns // self.size)
        zero = 2 ** (self.bits - 1)
        codes = np.pad(
            weight.codes.numpy() + zero, ((0, 0), (0, blocks * self.size - columns)), constant_values=zero
        )
        stream = pack(codes.astype(np.uint8), self.bits)
        self.register_buffer("codes", torch.from_numpy(stream.reshape(rows, blocks, -1)))
        self.register_buffer("scales", weight.scale.float().expand(rows, blocks).contiguous())


def _operator(
    name: str, operands: list[Tensor], attributes: dict[str, Any], last: int, like: Tensor
) -> Tensor:
    """Return what an operator of ONNX Runtime gives: shaped as ``like``, but for the last dimension."""
    shape = (*like.shape[:-1], last)
    result: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{name}", operands, attributes, dtype=torch.float32, shape=shape, version=1
    )
    return result


def _added(product: Tensor, bias: Tensor | None) -> Tensor:
    return product if bias is None else product + bias
