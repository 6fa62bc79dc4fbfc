"""Weights kept beside a run record."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from bert_mpq.export.layout import encoded, read_weights
from bert_mpq.export.packed import PackedModel, pack_model
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.records.files import write_new
from bert_mpq.settings.config import EmbeddingPrecision
from bert_mpq.settings.errors import MpqError


def keep_weights(
    folder: Path, stem: str, quantized: QuantizedModel, model: nn.Module, embeddings: EmbeddingPrecision
) -> Path:
    """Save what the FP32 model alone does not give: codes, scales, and tensors that have changed.

    Args:
        folder: where the run record will be.
        stem: its name without suffix.
        quantized: the model as it was evaluated.
        model: the FP32 model it comes from.
        embeddings: the precision in which its embedding tables are kept.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    packed = pack_model(quantized.model, quantized.weights, quantized.bits, embeddings)
    state = model.state_dict()
    changed = {
        name: tensor
        for name, tensor in packed.tensors.items()
        if not torch.equal(tensor, state[name].cpu().to(tensor.dtype))
    }
    content = encoded(dataclasses.replace(packed, tensors=changed), {})
    return write_new(folder, stem, ".safetensors", content)


def restored(
    model: nn.Module, path: Path, bits: Mapping[str, int], embeddings: EmbeddingPrecision
) -> PackedModel:
    """Return a model whose weights ``keep_weights`` saved; the rest is the FP32 model's.

    Args:
        model: the FP32 model.
        path: the file.
        bits: of every encoder Linear, by its name in the model.
        embeddings: the precision in which its embedding tables are kept.

    Raises:
        MpqError: E-NOFILE, E-MODEL.
    """
    kept = read_weights(path)
    names = {*kept.tensors, *(f"{name}.weight" for name in kept.weights)}
    if unknown := sorted(names - {*model.state_dict()}):
        raise MpqError(
            "E-MODEL", f"{path.name} is of another model: {unknown[0]} is not in this one.", "Evaluate again."
        )
    packed = pack_model(model, kept.weights, bits, embeddings)
    return dataclasses.replace(packed, tensors={**packed.tensors, **kept.tensors})
