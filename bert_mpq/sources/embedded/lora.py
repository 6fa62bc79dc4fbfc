"""A PEFT LoRA adapter, read and merged into plain weights; nothing in its files is trusted."""

from pathlib import Path

import torch
from torch import Tensor

from bert_mpq.records.json_file import read_json
from bert_mpq.settings.errors import ModelError

ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG_FILE = "adapter_config.json"
PEFT_PREFIX = "base_model.model."
LARGEST_ADAPTER = 1 << 28  # bytes of a file; ours has 2 MB


def adapted(state: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Return ``state`` with the adapter in ``folder`` merged in.

    Raises:
        MpqError: E-MODEL, with what is wrong in the files; no more memory than they are large is taken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if (folder / ADAPTER_WEIGHTS_FILE).stat().st_size > LARGEST_ADAPTER:
            raise ValueError(f"{ADAPTER_WEIGHTS_FILE} is larger than any adapter")
        tensors = load_file(folder / ADAPTER_WEIGHTS_FILE)
        settings = read_json(folder / ADAPTER_CONFIG_FILE, LARGEST_ADAPTER, "adapter", strict=False)
        merged = merge_lora(state, tensors, _scale(settings))
        _check(state, merged)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"The adapter in {folder.name}/ is broken: {reason}.", "Install bert-mpq anew."
        ) from error
    return merged


def merge_lora(state: dict[str, Tensor], adapter: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return ``state`` with W + scale * B A for every adapted weight, and whole tensors replaced.

    Args:
        adapter: PEFT tensors: ``...lora_A.weight`` (r, in), ``...lora_B.weight`` (out, r), or whole tensors.
        scale: alpha / r (Hu et al. 2022, sec. 4.1).

    Raises:
        KeyError: an adapted weight is not in ``state``.
    """
    merged = dict(state)
    for name, tensor in adapter.items():
        target = name.removeprefix(PEFT_PREFIX)
        if target.endswith(".lora_A.weight"):
            stem = target.removesuffix(".lora_A.weight")
            up = adapter[f"{PEFT_PREFIX}{stem}.lora_B.weight"].float()
            merged[f"{stem}.weight"] = state[f"{stem}.weight"] + scale * (up @ tensor.float())
        elif not target.endswith(".lora_B.weight"):
            merged[target] = tensor.float()
    return merged


def _scale(settings: object) -> float:
    numbers: list[int] = []
    for name in ("lora_alpha", "r"):
        value = settings.get(name) if isinstance(settings, dict) else None
        if not isinstance(value, int) or not 0 < value < 2**16:
            raise ValueError("lora_alpha and r must be whole numbers above 0")
        numbers.append(value)
    return numbers[0] / numbers[1]


def _check(state: dict[str, Tensor], merged: dict[str, Tensor]) -> None:
    for name, tensor in merged.items():
        if name not in state:
            raise ValueError(f"{name} is no weight of the model")
        if tensor.is_meta:
            raise ValueError(f"{name} is missing")
        if tensor is state[name]:
            continue
        if tensor.shape != state[name].shape or not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has another shape, or values that are no numbers")
