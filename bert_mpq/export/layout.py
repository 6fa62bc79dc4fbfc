"""The tool's own file layout, for every bit width: one safetensors file that needs no other package.

A quantized weight ``m`` is stored as ``m.q``, the uint8 bitstreams of its rows
(``bert_mpq.export.packed``), ``m.s``, its scales (rows, groups), and with asymmetric codes ``m.z``, the
uint8 zero points shaped like ``m.s``; every other tensor under its own name. The metadata entry ``bert_mpq``
is JSON: ``version``, ``weights`` (module name -> ``bits`` and ``columns``) and ``facts`` (whatever the writer
wants to say). Weights that are kept beside a run record have the same layout, without what has not changed.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bert_mpq.export.packed import PackedModel, pack_model, row_bytes, stream_of, unpack
from bert_mpq.quantization.embeddings import quantized_tables
from bert_mpq.quantization.model import QuantizedModel
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.records.files import write_new
from bert_mpq.settings.embeddings import EmbeddingPrecision
from bert_mpq.settings.errors import ModelError, MpqError

KEY = "bert_mpq"
VERSION = 1


def encoded(packed: PackedModel, facts: Mapping[str, Any]) -> bytes:
    """Return a whole file.

    Args:
        facts: JSON values for the header: the plan, the source model, ...
    """
    from safetensors.torch import save

    tensors = dict(packed.tensors)
    for name, weight in packed.weights.items():
        tensors[f"{name}.q"] = torch.from_numpy(stream_of(weight))
        tensors[f"{name}.s"] = weight.scale.contiguous()
        if weight.zero_point is not None:
            tensors[f"{name}.z"] = weight.zero_point.to(torch.uint8)
    header = {
        "version": VERSION,
        "weights": {
            name: {"bits": weight.bits, "columns": weight.codes.shape[1]}
            for name, weight in packed.weights.items()
        },
        "facts": dict(facts),
    }
    return bytes(save(tensors, metadata={KEY: json.dumps(header)}))


def read_weights(path: Path) -> PackedModel:
    """Read a file of ``encoded`` bytes; nothing in it is trusted.

    It takes memory in proportion to the size of the file, whatever the header says.

    Raises:
        MpqError: E-NOFILE; E-MODEL with what is wrong in the file.
    """
    if not path.is_file():
        raise MpqError("E-NOFILE", f"No model file at {path}.", "Give a folder written by --format mpq.")
    try:
        stored, header = _open(path)
        weights = {str(name): _weight(stored, str(name), facts) for name, facts in header.items()}
    except (ValueError, OSError, RecursionError) as error:
        raise broken_file(path, str(error) or type(error).__name__) from error
    return PackedModel(weights=weights, tensors=stored)


def broken_file(path: Path, reason: str) -> MpqError:
    """Return the error for a file that cannot be a model of this tool."""
    return ModelError(f"{path.name} is no valid model file: {reason}.", "Export the model again.")


def keep_weights(
    folder: Path, stem: str, quantized: QuantizedModel, model: nn.Module, embeddings: EmbeddingPrecision
) -> Path:
    """Save what the FP32 model alone does not give: codes and scales of Linears, tensors that have changed.

    Embedding tables are rounded without reviews: the FP32 model gives them again.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    packed = pack_model(quantized.model, quantized.codes, quantized.bits, embeddings)
    state = model.state_dict()
    changed = {
        name: tensor
        for name, tensor in packed.tensors.items()
        if not torch.equal(tensor, state[name].cpu().to(tensor.dtype))
    }
    content = encoded(PackedModel(weights=quantized.weights, tensors=changed), {})
    return write_new(folder, stem, ".safetensors", content)


def restored(
    model: nn.Module, path: Path, bits: Mapping[str, int], embeddings: EmbeddingPrecision
) -> PackedModel:
    """Return a model whose weights ``keep_weights`` saved; the rest is the FP32 model's.

    Args:
        bits: of every encoder Linear, by its name in the model.

    Raises:
        MpqError: E-NOFILE, E-MODEL.
    """
    kept = read_weights(path)
    names = {*kept.tensors, *(f"{name}.weight" for name in kept.weights)}
    if unknown := sorted(names - {*model.state_dict()}):
        raise ModelError(
            f"{path.name} is of another model: {unknown[0]} is not in this one.", "Evaluate again."
        )
    weights = {**kept.weights, **quantized_tables(model, embeddings)}
    packed = pack_model(model, weights, bits, embeddings)
    return dataclasses.replace(packed, tensors={**packed.tensors, **kept.tensors})


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            header = _header((opened.metadata() or {}).get(KEY))
            return {name: opened.get_tensor(name) for name in opened.keys()}, header  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error).removeprefix("Error while deserializing header: ")) from error


def _header(text: str | None) -> dict[str, Any]:
    if text is None:
        raise ValueError(f"it has no {KEY} header")
    header = json.loads(text)
    if not isinstance(header, dict) or type(header.get("version")) is not int:
        raise ValueError(f"its {KEY} header has no version")
    if header["version"] != VERSION:
        raise ValueError(f"its layout is version {header['version']}, this program reads {VERSION}")
    weights = header.get("weights")
    if not isinstance(weights, dict):
        raise ValueError(f"its {KEY} header names no weights")
    return weights


def _weight(stored: dict[str, Tensor], name: str, facts: object) -> QuantizedWeight:
    """Take the tensors of one weight out of ``stored``, every size checked before anything is unpacked."""
    bits, columns = (facts.get("bits"), facts.get("columns")) if isinstance(facts, dict) else (None, None)
    if type(bits) is not int or not 2 <= bits <= 8 or type(columns) is not int or columns < 1:
        raise ValueError(f"{name} has no usable bits and columns")
    stream = _taken(stored, f"{name}.q", torch.uint8)
    scale = _taken(stored, f"{name}.s", torch.float16, torch.float32)  # float32: one for the whole weight
    zero_point = _taken(stored, f"{name}.z", torch.uint8) if f"{name}.z" in stored else None
    rows, groups = stream.shape[0], scale.shape[1]
    if stream.shape[1] != row_bytes(columns, bits) or scale.shape[0] not in (1, rows) or not groups:
        raise ValueError(f"{name}: codes and scales do not fit each other")
    if not rows or columns % groups or (scale.shape[0] == 1 < rows and groups > 1):
        raise ValueError(f"{name}: {groups} scales for {columns} columns")
    if not torch.isfinite(scale).all():
        raise ValueError(f"{name} has scales that are no numbers")
    if zero_point is not None and zero_point.shape != scale.shape:
        raise ValueError(f"{name}: zero points and scales do not fit each other")
    codes = torch.from_numpy(unpack(stream.numpy(), bits, columns).astype(np.int16))
    if zero_point is None:
        codes -= 2 ** (bits - 1)
    else:
        zero_point = zero_point.to(torch.int16)
    return QuantizedWeight(codes=codes, scale=scale, bits=bits, zero_point=zero_point)


def _taken(stored: dict[str, Tensor], name: str, *types: torch.dtype) -> Tensor:
    tensor = stored.pop(name, None)
    if tensor is None:
        raise ValueError(f"{name} is missing")
    if tensor.dtype not in types or tensor.ndim != 2:
        raise ValueError(f"{name} has the wrong type or shape")
    return tensor
