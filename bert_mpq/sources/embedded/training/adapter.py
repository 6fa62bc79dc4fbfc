"""The LoRA adapter in PEFT's layout: made around the base model, and written."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from bert_mpq.sources.embedded.bases import EmbeddedModel
from bert_mpq.sources.embedded.lora import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE
from bert_mpq.sources.embedded.training.recipe import ClassifierRecipe


def add_adapter(model: Any, embedded: EmbeddedModel, recipe: ClassifierRecipe) -> Any:
    """Return ``model`` with untrained LoRA updates in every Linear of the encoder; the head is trained whole.

    Args:
        model: the base model with a classification head; its own weights are frozen.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.1,  # makes the module; each stage sets its own share
        target_modules=list(recipe.adapted),
        exclude_modules=f".*({'|'.join(recipe.trained_whole)}).*",
        modules_to_save=list(recipe.trained_whole),
        revision=embedded.revision,
    )
    return get_peft_model(model, config)


def write_adapter(adapted: Any, embedded: EmbeddedModel, folder: Path) -> None:
    """Write weights (float16) and configuration to ``folder``; each file whole or not at all."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = adapted.peft_config["default"]
    config.base_model_name_or_path = embedded.repository
    config.inference_mode = True
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in get_peft_model_state_dict(adapted).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as part:
        save_file(tensors, Path(part, ADAPTER_WEIGHTS_FILE), metadata={"format": "pt"})
        config.save_pretrained(part)
        for name in (ADAPTER_WEIGHTS_FILE, ADAPTER_CONFIG_FILE):
            os.replace(Path(part, name), folder / name)
