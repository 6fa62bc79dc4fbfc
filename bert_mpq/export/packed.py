"""A model as a file stores it: integer codes where a weight is quantized, plain tensors for the rest."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bert_mpq.quantization import rtn
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.settings.config import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError

EmbeddingWidth = Literal["fp32", "fp16", "int8"]
EMBEDDING_GROUP = 64


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """Everything that a checkpoint holds of a model.

    Args:
        weights: quantized weights by module name (``m`` stands for the parameter ``m.weight``).
        tensors: every other tensor of the state dict by its name, in the type it is stored in.
    """

    weights: Mapping[str, QuantizedWeight]
    tensors: Mapping[str, Tensor]

    def state(self) -> dict[str, Tensor]:
        """Return the state dict that this stands for; floating-point tensors are float32."""
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in self.tensors.items()
        }
        return state | {f"{name}.weight": weight.dequantize() for name, weight in self.weights.items()}


def pack_model(
    model: nn.Module, weights: Mapping[str, QuantizedWeight], halves: Collection[str]
) -> PackedModel:
    """Take a fake-quantized model apart.

    Args:
        model: the model, on any device.
        weights: the quantized weights it was made from, by module name.
        halves: names of parameters that hold float16 values only and are stored as such.
    """
    packed = {name: weight.cpu() for name, weight in weights.items()}
    coded = {f"{name}.weight" for name in weights}
    tensors = {
        name: (tensor.half() if name in halves else tensor).detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in coded
    }
    return PackedModel(weights=packed, tensors=tensors)


def pack_quantized_model(quantized: QuantizedModel, embeddings: EmbeddingPrecision) -> PackedModel:
    """Take a quantized model apart, 16-bit weights and float16 embedding tables as float16.

    Args:
        quantized: the model.
        embeddings: the precision in which its embedding tables are kept.
    """
    return pack_model(
        quantized.model, quantized.weights, halves_of(quantized.model, quantized.bits, embeddings)
    )


def halves_of(model: nn.Module, bits: Mapping[str, int], embeddings: EmbeddingPrecision) -> set[str]:
    """Return the names of the parameters that a run rounds to float16.

    Args:
        model: the classifier.
        bits: of every encoder Linear, by its name in the model.
        embeddings: the precision of the embedding tables.
    """
    halves = {f"{name}.weight" for name, width in bits.items() if width == 16}
    if embeddings == "fp16":
        halves |= {
            f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Embedding)
        }
    return halves


def with_embeddings(packed: PackedModel, model: nn.Module, width: EmbeddingWidth) -> PackedModel:
    """Store the embedding tables in another width; int8 takes symmetric groups of 64 along the features.

    Args:
        packed: the model.
        model: the same model as modules, which say what is an embedding table.
        width: what to store.

    Raises:
        MpqError: E-MODEL when a table holds values beyond float16.
    """
    weights, tensors = dict(packed.weights), dict(packed.tensors)
    for name, module in model.named_modules():
        key = f"{name}.weight"
        if not isinstance(module, nn.Embedding) or key not in tensors:
            continue
        try:
            if width == "int8":
                weights[name] = rtn.quantize(tensors.pop(key), 8, EMBEDDING_GROUP)
            else:
                tensors[key] = narrowed(tensors[key]) if width == "fp16" else tensors[key].float()
        except ValueError as error:
            raise MpqError(
                "E-MODEL", f"The table {name}: {error}.", "Keep the embeddings in fp32."
            ) from error
    return dataclasses.replace(packed, weights=weights, tensors=tensors)


def narrowed(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float16.

    Raises:
        ValueError: a value is beyond its range.
    """
    half = tensor.half()
    if not torch.isfinite(half).all():
        raise ValueError("it holds values beyond float16")
    return half
