"""The LoRA adapter in PEFT's layout: made around the base model, and written."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from bert_mpq.sources.embedded import loading as embedded
from bert_mpq.sources.embedded.training.recipe import Recipe

FILES = ("adapter_model.safetensors", "adapter_config.json")


def add_adapter(model: Any, recipe: Recipe) -> Any:
    """Return ``model`` with untrained LoRA updates; pooler and classifier are trained whole.

    Args:
        model: the base model with a classification head; its own weights are frozen.
        recipe: rank and alpha.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.1,  # makes the module; each stage sets its own share
        target_modules=["query", "key", "value", "dense"],
        exclude_modules=".*pooler.*",
        modules_to_save=["classifier", "pooler"],
        revision=embedded.REVISION,
    )
    return get_peft_model(model, config)


def write_adapter(adapted: Any, folder: Path) -> None:
    """Write weights (float16) and configuration to ``folder``; each file whole or not at all."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = adapted.peft_config["default"]
    config.base_model_name_or_path = embedded.BASE
    config.inference_mode = True
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in get_peft_model_state_dict(adapted).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as part:
        save_file(tensors, Path(part, FILES[0]), metadata={"format": "pt"})
        config.save_pretrained(part)
        for name in FILES:
            os.replace(Path(part, name), folder / name)
