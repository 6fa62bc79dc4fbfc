"""Writes a packed model as a folder."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bert_mpq.export.formats import FORMATS, Format
from bert_mpq.export.formats import compressed_tensors as pack_quantized
from bert_mpq.export.formats.dense import dense
from bert_mpq.export.formats.mpq import save_weights
from bert_mpq.export.packed import PackedModel
from bert_mpq.records.files import write_atomic
from bert_mpq.records.sizes import SizeReport


def write_checkpoint(
    folder: Path, kind: Format, packed: PackedModel, model: Any, tokenizer: Any, facts: Mapping[str, Any]
) -> Path:
    """Write weights, config.json and tokenizer; return the weights file.

    Args:
        folder: an empty folder.
        kind: the format.
        packed: what to write.
        model: the classifier, for its config and the names of its modules.
        tokenizer: its tokenizer.
        facts: JSON values for the header.

    Raises:
        MpqError: E-READONLY or E-DISK.
    """
    from safetensors.torch import save

    path = folder / FORMATS[kind].weights_file
    if kind == "mpq":
        save_weights(path, packed, facts)
    else:
        tensors = pack_quantized.tensors_of(packed) if kind == "compressed-tensors" else dense(packed)
        write_atomic(path, save(tensors, metadata={"format": "pt"}))
    _config(kind, packed, model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return path


def predicted_bytes(kind: Format, sizes: SizeReport, packed: PackedModel, model: nn.Module) -> int:
    """Return the bytes that the evaluation's size report promises for the tensors of the file.

    Args:
        kind: the format.
        sizes: the report.
        packed: tells which embedding tables are stored as codes, and in which width the others.
        model: tells which modules are embedding tables.
    """
    buffers = 8 * sum(tensor.nbytes for tensor in packed.tensors.values() if not tensor.is_floating_point())
    if kind == "dense-fp16":
        return (sizes.whole_original_bits // 2 + buffers) // 8
    tables = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    embeddings = sum(
        packed.weights[name].storage_bits
        if name in packed.weights
        else 8 * packed.tensors[f"{name}.weight"].nbytes
        for name in tables
    )
    bits = sizes.whole_bits - sizes.embedding_bits + embeddings + buffers
    shapes = len(packed.weights) if kind == "compressed-tensors" else 0
    return (bits + 7) // 8 + pack_quantized.SHAPE_BYTES * shapes


def header_bytes(path: Path) -> int:
    """Return the bytes of a safetensors file before its tensors."""
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def _config(kind: Format, packed: PackedModel, model: Any) -> Any:
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = "float32"  # float16 tensors become float32 on the way in
    if kind == "compressed-tensors":
        linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        config.quantization_config = pack_quantized.quantization_config(packed, linears)
    return config
