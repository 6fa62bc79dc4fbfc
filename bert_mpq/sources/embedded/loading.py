"""The classifiers that come with the package: a pretrained encoder plus our own LoRA adapter."""

from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.embedded.bases import WEIGHTS, EmbeddedModel
from bert_mpq.sources.embedded.files import base_folder

NOT_LOADED = ("pooler.", "embeddings.position_ids")  # where the classifier has no such thing


def load_embedded(embedded: EmbeddedModel, adapter: Path | None = None) -> tuple[Any, Any]:
    """Return the classifier (FP32) and its tokenizer.

    Args:
        adapter: folder with another PEFT adapter for its encoder.

    Raises:
        MpqError: as ``base_folder``; E-MODEL when the adapter is broken.
    """
    from bert_mpq.sources.embedded.lora import adapted

    model, tokenizer = load_base(embedded)
    model.load_state_dict(adapted(model.state_dict(), adapter or embedded.adapter))
    return model.eval(), tokenizer


def load_base(embedded: EmbeddedModel) -> tuple[Any, Any]:
    """Return the pretrained encoder with a random classification head, and its tokenizer.

    Raises:
        MpqError: as ``base_folder``.
    """
    import transformers
    from safetensors.torch import load_file

    folder = base_folder(embedded)
    architecture = getattr(transformers, embedded.architecture)
    config = architecture.config_class.from_pretrained(
        folder, num_labels=2, id2label={0: "negative", 1: "positive"}
    )
    model = architecture(config)
    encoder = getattr(model, model.base_model_prefix)
    unused = encoder.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    if unused.missing_keys or any(not name.startswith(NOT_LOADED) for name in unused.unexpected_keys):
        raise MpqError(
            "E-OFFLINE",
            f"This transformers does not know the weights of {embedded.repository}.",
            "Install the release of transformers that this package names.",
        )
    return model, transformers.AutoTokenizer.from_pretrained(folder)
