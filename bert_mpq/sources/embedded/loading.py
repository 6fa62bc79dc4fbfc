"""The classifiers that come with the package: a pretrained encoder plus our own LoRA adapter."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.embedded.bases import WEIGHTS, EmbeddedModel
from bert_mpq.sources.embedded.files import base_folder

if TYPE_CHECKING:
    from torch import Tensor

NOT_LOADED = ("pooler.", "embeddings.position_ids")  # where the classifier has no such thing


def load_embedded(embedded: EmbeddedModel, adapter: Path | None = None) -> tuple[Any, Any]:
    """Return the classifier (FP32) and its tokenizer.

    Args:
        adapter: folder with another PEFT adapter for its encoder.

    Raises:
        MpqError: as ``base_folder``; E-MODEL when the adapter is broken.
    """
    import torch
    from transformers.utils import logging

    from bert_mpq.sources.embedded.lora import adapted

    architecture, config, state, tokenizer = _parts(embedded)
    merged = adapted(state, adapter or embedded.adapter)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:  # unlike ``architecture(config)``, this draws no random weights first: that takes half of the time
        model = architecture.from_pretrained(None, config=config, state_dict=merged, dtype=torch.float32)
    finally:
        if shown:
            logging.enable_progress_bar()
    return model.eval(), tokenizer


def load_base(embedded: EmbeddedModel) -> tuple[Any, Any]:
    """Return the pretrained encoder with a random classification head, and its tokenizer.

    Raises:
        MpqError: as ``base_folder``.
    """
    architecture, config, state, tokenizer = _parts(embedded)
    model = architecture(config)
    encoder = {name: tensor for name, tensor in state.items() if not tensor.is_meta}
    model.load_state_dict(encoder, strict=False)
    return model, tokenizer


def _parts(embedded: EmbeddedModel) -> "tuple[Any, Any, dict[str, Tensor], Any]":
    """Return class, config, weights (those of the head without values) and tokenizer."""
    import torch
    import transformers
    from safetensors.torch import load_file

    folder = base_folder(embedded)
    architecture = getattr(transformers, embedded.architecture)
    config = architecture.config_class.from_pretrained(
        folder, num_labels=2, id2label={0: "negative", 1: "positive"}
    )
    with torch.device("meta"):
        state: dict[str, Tensor] = architecture(config).state_dict()
    prefix = f"{architecture.base_model_prefix}."
    found = {f"{prefix}{name}": tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    missing = any(name.startswith(prefix) and name not in found for name in state)
    unknown = (name.removeprefix(prefix) for name in found if name not in state)
    if missing or any(not name.startswith(NOT_LOADED) for name in unknown):
        raise MpqError(
            "E-OFFLINE",
            f"This transformers does not know the weights of {embedded.repository}.",
            "Install the release of transformers that this package names.",
        )
    state |= {name: tensor for name, tensor in found.items() if name in state}
    return architecture, config, state, transformers.AutoTokenizer.from_pretrained(folder)
