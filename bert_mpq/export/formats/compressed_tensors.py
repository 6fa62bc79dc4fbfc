"""compressed-tensors' ``pack-quantized`` layout, which transformers reads by plain ``from_pretrained``.

A quantized weight ``m.weight`` becomes ``m.weight_packed`` (int32 words along the inputs),
``m.weight_scale`` (rows, groups) and ``m.weight_shape``; config.json says which modules have which width.
Only what every release since 0.17 reads back bit-exactly is written: symmetric codes of 2, 4 and 8 bits.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bert_mpq.export.bitstream import pack
from bert_mpq.export.packed import PackedModel
from bert_mpq.quantization.weight import QuantizedWeight

SHAPE_BYTES = 16  # weight_shape: two int64


class Scheme(NamedTuple):
    """What a config group says of its weights; group_size None = one scale per output channel."""

    bits: int
    group_size: int | None


def tensors_of(packed: PackedModel) -> dict[str, Tensor]:
    """Return the tensors of the safetensors file, by name."""
    tensors = dict(packed.tensors)
    for name, weight in packed.weights.items():
        rows, columns = weight.codes.shape
        stream = pack((weight.codes + 2 ** (weight.bits - 1)).to(torch.uint8).numpy(), weight.bits)
        padded = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 4)))
        tensors[f"{name}.weight_packed"] = torch.from_numpy(padded.view("<i4").astype(np.int32))
        tensors[f"{name}.weight_scale"] = weight.scale.contiguous()
        tensors[f"{name}.weight_shape"] = torch.tensor([rows, columns])
    return tensors


def quantization_config(packed: PackedModel, linears: Sequence[str]) -> dict[str, Any]:
    """Return the ``quantization_config`` of config.json.

    Args:
        packed: the model.
        linears: names of every Linear module of the model; those without codes are listed as ignored.
    """
    schemes: dict[Scheme, list[str]] = defaultdict(list)
    for name, weight in packed.weights.items():
        schemes[scheme_of(weight)].append(name)
    groups = {
        f"group_{index}": {
            "targets": targets(names),
            "weights": {
                "num_bits": scheme.bits,
                "type": "int",
                "symmetric": True,
                "strategy": "group" if scheme.group_size else "channel",
                "group_size": scheme.group_size,
                "dynamic": False,
            },
        }
        for index, (scheme, names) in enumerate(sorted(schemes.items(), key=_order))
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [name for name in linears if name not in packed.weights],
    }


def scheme_of(weight: QuantizedWeight) -> Scheme:
    """Return the config group that a weight belongs to."""
    groups = weight.scale.shape[1]
    return Scheme(weight.bits, weight.codes.shape[1] // groups if groups > 1 else None)


def targets(names: Iterable[str]) -> list[str]:
    """Return regular expressions that match exactly ``names``: one per set of modules that layers share.

    They are anchored at both ends: ``layer.1`` must match neither ``layer.10`` nor a module inside.
    """
    layers: dict[tuple[str, str], list[str]] = defaultdict(list)  # (before, after) the layer's number
    single = []
    for name in names:
        if found := re.fullmatch(r"(.*?)\.(\d+)\.(.*)", name):
            layers[found[1], found[3]].append(found[2])
        else:
            single.append(f"re:^{re.escape(name)}$")
    inside: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (before, after), numbers in layers.items():
        inside[before, tuple(numbers)].append(after)
    return single + [
        f"re:^{re.escape(before)}\\.({'|'.join(numbers)})\\.({'|'.join(map(re.escape, modules))})$"
        for (before, numbers), modules in inside.items()
    ]


def _order(item: tuple[Scheme, list[str]]) -> tuple[int, int]:
    return item[0].bits, item[0].group_size or 0
