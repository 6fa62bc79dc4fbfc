"""compressed-tensors' ``pack-quantized`` layout, which transformers reads by plain ``from_pretrained``.

A quantized weight ``m.weight`` becomes ``m.weight_packed`` (int32 words along the inputs),
``m.weight_scale`` (rows, groups) and ``m.weight_shape``; config.json says which modules have which width.
Only what every release since 0.17 reads back bit-exactly is written: symmetric codes of 2, 4 and 8 bits.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_mpq.export.formats.format import Safetensors, check_packages
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.sizes import SizeReport
from bert_mpq.settings.embeddings import EMBEDDINGS
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import is_symmetric

if TYPE_CHECKING:
    from bert_mpq.export.packed import PackedModel

PACKAGE = "compressed-tensors>=0.17"  # the first release that reads 2 bits
PACKED_WIDTHS = (2, 4, 8)
SHAPE_BYTES = 16  # weight_shape: two int64


class CompressedTensors(Safetensors):
    """Packed codes that transformers itself loads."""

    name = "compressed-tensors"
    title = "2, 4, 8, 16, 32 bits, bit-exact; loads with from_pretrained"
    needs = ("transformers", PACKAGE)
    caveats = (
        "Saves disk space and download time. The first forward pass unpacks the weights to float32: no less"
        " memory, no more speed.",
        "Copy the folder to pass it on. `save_pretrained` of the loaded model writes the unpacked weights"
        " with a config.json that still calls them packed.",
        "Do not load it with `CompressedTensorsConfig(dequantize=True)`: that expects one width for the whole"
        " model.",
        "Scales can be below zero. transformers multiplies by them as they are; some GPU kernels take scales"
        " for unsigned numbers.",
    )

    def check(self, result: EvaluationResult) -> None:
        """Refuse what is not packed, what does not load back, and a missing or too old package."""
        hint = "Use --format mpq, which takes every plan."
        if EMBEDDINGS[embeddings := result.embeddings].coded:
            raise MpqError("E-EXPORT", f"compressed-tensors cannot load {embeddings} embeddings back.", hint)
        if not is_symmetric(quantizer := result.config.quantizer):
            raise MpqError(
                "E-EXPORT",
                f"compressed-tensors cannot load packed asymmetric weights (quantizer {quantizer}) back.",
                hint,
            )
        narrow = sorted({width for width in result.allocation.bits if width < 16})
        if not narrow:
            raise MpqError(
                "E-EXPORT", "No weight of this plan is below 16 bits: there is nothing to pack.", hint
            )
        if odd := [width for width in narrow if width not in PACKED_WIDTHS]:
            raise MpqError(
                "E-EXPORT",
                f"{odd[0]}-bit codes do not fill the 32-bit words of compressed-tensors, and its releases"
                " pack them in different ways.",
                "Use --format mpq, or a plan of 2, 4, 8, 16 and 32 bits.",
            )
        check_packages([PACKAGE], "export")

    def content(self, packed: "PackedModel", facts: Mapping[str, Any]) -> bytes:
        """Return a safetensors file without the facts."""
        import numpy as np
        import torch
        from safetensors.torch import save

        from bert_mpq.export.packed import stream_of

        tensors = dict(packed.tensors)
        for name, weight in packed.weights.items():
            rows, columns = weight.codes.shape
            stream = stream_of(weight)
            padded = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 4)))
            tensors[f"{name}.weight_packed"] = torch.from_numpy(padded.view("<i4").astype(np.int32))
            tensors[f"{name}.weight_scale"] = weight.scale.contiguous()
            tensors[f"{name}.weight_shape"] = torch.tensor([rows, columns])
        return bytes(save(tensors, metadata={"format": "pt"}))

    def config(self, packed: "PackedModel", model: Any) -> Any:
        """Return the config with a ``quantization_config``."""
        from torch import nn

        config = super().config(packed, model)
        linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        config.quantization_config = quantization_config(packed, linears)
        return config

    def predicted_bytes(self, sizes: SizeReport, packed: "PackedModel") -> int:
        """Return the bytes of the tensors, shapes of packed weights included."""
        return super().predicted_bytes(sizes, packed) + SHAPE_BYTES * len(packed.weights)


def quantization_config(packed: "PackedModel", linears: Sequence[str]) -> dict[str, Any]:
    """Return the ``quantization_config`` of config.json.

    Args:
        linears: names of every Linear module of the model; those without codes are listed as ignored.
    """
    members: dict[tuple[int, int], list[str]] = defaultdict(list)  # group size 0: a scale per channel
    for name, weight in packed.weights.items():
        groups = weight.scale.shape[1]
        group_size = weight.codes.shape[1] // groups if groups > 1 else 0
        members[weight.bits, group_size].append(name)
    config_groups = {
        f"group_{index}": {
            "targets": targets(names),
            "weights": {
                "num_bits": bits,
                "type": "int",
                "symmetric": True,
                "strategy": "group" if group_size else "channel",
                "group_size": group_size or None,
                "dynamic": False,
            },
        }
        for index, ((bits, group_size), names) in enumerate(sorted(members.items()))
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": config_groups,
        "ignore": [name for name in linears if name not in packed.weights],
    }


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
