"""Sequence classifiers from the hub or its cache, a local folder, or the package itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_mpq.records.json_file import read_json
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources import hub
from bert_mpq.sources.embedded.bases import EMBEDDED, SMALL, EmbeddedModel
from bert_mpq.sources.embedded.files import base_available, base_folder
from bert_mpq.sources.embedded.loading import load_embedded
from bert_mpq.sources.parameter_count import parameter_count

WEIGHTS = "model.safetensors"
DEFAULT_MODEL = "textattack/bert-base-uncased-imdb"
LONGEST = 512
LARGEST_CONFIG = 1 << 24  # bytes; that of BERT has 600


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A classifier, decided and measured by its config.json before anything heavy is loaded.

    Args:
        name: as the artifacts call it (hub id, path or ``embedded``).
        kind: where it comes from.
        layers: encoder layers.
        hidden: features per token.
        layer_weights: Linear weights per encoder layer, as BERT has them.
        max_length: tokens per review by default.
        positions: tokens per review at most.
        parameters: of the whole model; None where that is not known before it is loaded.
        note: one sentence when this is not what was asked for; else empty.
    """

    name: str
    kind: Literal["hub", "folder", "embedded"]
    layers: int
    hidden: int
    layer_weights: int
    max_length: int
    positions: int = LONGEST
    parameters: int | None = None
    note: str = ""

    @property
    def title(self) -> str:
        """The name in headings of the artifacts; the default model's is the original tool's."""
        titles = {name: model.title for name, model in EMBEDDED.items()}
        titles[DEFAULT_MODEL] = "BERT-base-uncased"
        return titles.get(self.name, Path(self.name).name if self.kind == "folder" else self.name)

    @property
    def word(self) -> str:
        """The name in file names: BERT for the tool's own two classifiers, else the last part."""
        return "BERT" if self.name in (DEFAULT_MODEL, SMALL.name) else Path(self.name).name


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A loaded FP32 classifier with two labels (0 negative, 1 positive) and its tokenizer."""

    source: ModelSource
    model: Any
    tokenizer: Any

    @property
    def revision(self) -> str:
        """Commit of the weights on the hub where it is known, else ""."""
        if self.source.kind == "embedded":
            return EMBEDDED[self.source.name].revision
        config = hub.cached_file(self.source.name, "config.json") if self.source.kind == "hub" else None
        return config.parent.name if config else ""  # the cache names snapshots by their commit


def find_classifier(model: str) -> ModelSource:
    """Decide where ``model`` comes from and read its shape.

    ``default`` falls back to the embedded classifier when the hub is out of reach, and says so in ``note``;
    a model that was named never falls back.

    Raises:
        MpqError: E-NETWORK, E-OFFLINE, or E-MODEL when it is no encoder classifier.
    """
    if model in EMBEDDED:
        return _embedded(EMBEDDED[model])
    if model == "default":
        cached = all(hub.cached_file(DEFAULT_MODEL, name) for name in ("config.json", WEIGHTS))
        if not cached and not hub.hub_reachable():
            return _embedded(
                SMALL,
                f"The Hugging Face hub cannot be reached and {DEFAULT_MODEL} is not in the cache:"
                " using the embedded classifier.",
            )
        model = DEFAULT_MODEL
    folder = user_path(model)
    if folder.is_dir():
        return _source(str(folder), "folder", folder / "config.json")
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or folder.is_file():
        raise MpqError("E-MODEL", f"There is no model folder at {model}.", "Give a folder or a hub id.")
    return _source(model, "hub", hub.hub_file(model, "config.json"))


def load_classifier(source: ModelSource, needs_head: bool = True) -> Classifier:
    """Load weights and tokenizer: safetensors only, no code from the repository.

    Args:
        source: what ``find_classifier`` returned.
        needs_head: refuse a checkpoint without a trained classification head; without one the head is
            random, by a fixed seed.

    Raises:
        MpqError: E-MODEL when it is not a trained classifier with two labels, E-NETWORK, E-OFFLINE.
    """
    from bert_mpq.compute.encoder import layer_path

    if source.kind == "embedded":
        model, tokenizer = load_embedded(EMBEDDED[source.name])
        return Classifier(source=source, model=model, tokenizer=tokenizer)
    model, missing, tokenizer = _load_pretrained(source)
    inside = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if inside:
        raise MpqError(
            "E-MODEL",
            f"{source.name} is incomplete ({inside[0]} is missing).",
            "Use a model that was fine-tuned for classification.",
        )
    if missing and needs_head:
        raise MpqError(
            "E-MODEL",
            f"{source.name} has no trained classification head ({missing[0]} is missing).",
            "Use a model that was fine-tuned for classification, or --fit-head 2000.",
        )
    # Without its files transformers makes a tokenizer that knows no words and says nothing.
    if not model.config.vocab_size // 2 <= len(tokenizer) <= model.config.vocab_size:
        raise MpqError(
            "E-MODEL",
            f"{source.name} has a tokenizer of {len(tokenizer):,} tokens, the model knows"
            f" {model.config.vocab_size:,}.",
            "Save the model's own tokenizer beside it.",
        )
    if model.config.num_labels != 2:
        raise MpqError(
            "E-MODEL",
            f"{source.name} has {model.config.num_labels} labels, not 2.",
            "Use a sentiment classifier with the labels negative and positive.",
        )
    layer_path(model)
    model = model.float().eval()
    broken = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if broken:
        raise MpqError(
            "E-MODEL",
            f"{source.name} holds NaN or infinite values ({broken[0]}).",
            "The checkpoint is broken: use another one.",
        )
    return Classifier(source=source, model=model, tokenizer=tokenizer)


def _load_pretrained(source: ModelSource) -> tuple[Any, list[str], Any]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    options: dict[str, Any] = {"trust_remote_code": False}
    if source.kind == "folder" or not hub.hub_reachable():
        options["local_files_only"] = True
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # for what a checkpoint without a head leaves to chance
            model, info = AutoModelForSequenceClassification.from_pretrained(
                source.name, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # transformers, tokenizers and the HTTP library refuse in their own ways
        if source.kind == "hub" and not hub.hub_reachable():
            raise hub.network_error(source.name) from error
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise MpqError(
            "E-MODEL",
            f"{source.name} cannot be loaded: {reason}",
            "It must be a classifier of transformers with safetensors weights and a tokenizer.",
        ) from error
    return model, sorted(info["missing_keys"]), tokenizer


def _embedded(model: EmbeddedModel, note: str = "") -> ModelSource:
    if not base_available(model):
        base_folder(model)  # raises, with the sentence that says what to install
    return ModelSource(
        name=model.name,
        kind="embedded",
        layers=model.layers,
        hidden=model.hidden,
        layer_weights=model.layer_weights,
        max_length=model.max_length,
        parameters=model.parameters,
        note=note,
    )


def _source(name: str, kind: Literal["hub", "folder"], config_file: Path) -> ModelSource:
    try:
        config = read_json(config_file, LARGEST_CONFIG, "config.json", strict=False)
        if not isinstance(config, dict):
            raise ValueError("not an object")
        layers = _integer(config, "num_hidden_layers", "n_layers")
        hidden = _integer(config, "hidden_size", "dim")
        inner = _integer(config, "intermediate_size", "hidden_dim")
        usable = _integer({"max_position_embeddings": LONGEST, **config}, "max_position_embeddings")
    except (OSError, ValueError) as error:
        raise MpqError(
            "E-MODEL",
            f"{name} has no config.json of an encoder model.",
            "Use a fine-tuned BERT-like classifier.",
        ) from error
    if config.get("quantization_config") is not None:
        raise MpqError("E-MODEL", f"{name} is quantized already.", "Give the FP32 model it was made from.")
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        usable -= 2  # their positions begin after the padding id
    return ModelSource(
        name=name,
        kind=kind,
        layers=layers,
        hidden=hidden,
        layer_weights=4 * hidden**2 + 2 * hidden * inner,
        max_length=min(LONGEST, usable),
        positions=usable,
        parameters=parameter_count(_weights(name, config_file, kind)),
    )


def _weights(name: str, config_file: Path, kind: Literal["hub", "folder"]) -> Path | None:
    """Return the weights where they are on this disk already."""
    return hub.cached_file(name, WEIGHTS) if kind == "hub" else config_file.with_name(WEIGHTS)


def _integer(config: dict[str, Any], *keys: str) -> int:
    for key in keys:
        value = config.get(key)
        if type(value) is int and value > 0:
            return value
    raise ValueError(f"no {keys[0]}")
