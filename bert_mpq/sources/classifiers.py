"""Sequence classifiers from the hub or its cache, a local folder, or the package itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_mpq.compute.outputs import Outputs
from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.errors import ModelError
from bert_mpq.settings.paths import user_path
from bert_mpq.sources import hub
from bert_mpq.sources.checkpoints import Weights
from bert_mpq.sources.embedded.bases import EMBEDDED, SMALL, EmbeddedModel
from bert_mpq.sources.embedded.files import base_available, base_folder
from bert_mpq.sources.embedded.loading import load_embedded
from bert_mpq.sources.model_config import LONGEST, Shape, read_shape
from bert_mpq.sources.model_files import (
    CONFIG,
    MAIN,
    ModelFiles,
    cached_files,
    config_file,
    folder_files,
    hub_files,
)


@dataclass(frozen=True, kw_only=True)
class ModelSource(Shape):
    """A classifier, decided and measured by its config.json (``Shape``) before anything heavy is loaded.

    Args:
        name: as the user and the artifacts call it (hub id, path or ``embedded``).
        kind: where it comes from.
        max_length: tokens per review by default.
        parameters: of the whole model; None where that is not known before it is loaded.
        note: one sentence when this is not what was asked for; else empty.
    """

    name: str
    kind: Literal["hub", "folder", "embedded"]
    max_length: int
    parameters: int | None = None
    note: str = ""

    @property
    def repository(self) -> str:
        """The hub id without a revision."""
        return self.name.partition("@")[0]

    @property
    def revision(self) -> str:
        """The revision asked for on the hub: a branch, a tag, a pull request or a commit."""
        return self.name.partition("@")[2] or MAIN

    @property
    def text(self) -> str:
        """What is known of it, in words."""
        alone = "" if self.family.padded else " without padding"
        return (
            f"{self.layers} encoder layers of {self.hidden:,} features, up to {self.positions:,} tokens"
            f" per review{alone}; {self.outputs.text}"
        )

    @property
    def title(self) -> str:
        """The name in headings of the artifacts; the default model's is the replaced script's."""
        titles = {name: model.title for name, model in EMBEDDED.items()}
        titles[DEFAULT_MODEL] = "BERT-base-uncased"
        return titles.get(self.name, Path(self.name).name if self.kind == "folder" else self.name)

    @property
    def word(self) -> str:
        """The name in file names: BERT for the tool's own two classifiers, else the last part."""
        if self.name in (DEFAULT_MODEL, SMALL.name):
            return "BERT"
        return Path(self.repository if self.kind == "hub" else self.name).name


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A loaded FP32 classifier with two outputs, whose config says which means what, and its tokenizer.

    Args:
        source: what it was loaded from.
        model: the classifier.
        tokenizer: its tokenizer.
        encoder_fingerprint: SHA-256 of its encoder layers.
        revision: commit of the weights on the hub where it is known, else "".
        weights: the files of its weights in words; "" for the embedded classifiers.
    """

    source: ModelSource
    model: Any
    tokenizer: Any
    encoder_fingerprint: str
    revision: str = ""
    weights: str = ""


def find_classifier(model: str) -> ModelSource:
    """Decide where ``model`` comes from and read its shape.

    ``default`` falls back to the embedded classifier when nothing usable of it is in the cache and the hub is
    out of reach, and says so in ``note``; a model that was named never falls back.

    Raises:
        MpqError: E-NETWORK, E-OFFLINE, E-LABELS, or E-MODEL when it is no classifier that can be measured.
    """
    if model in EMBEDDED:
        return _embedded(EMBEDDED[model])
    if model == "default":
        if not hub.hub_reachable() and cached_files(DEFAULT_MODEL, MAIN) is None:
            return _embedded(
                SMALL,
                f"The Hugging Face hub cannot be reached and {DEFAULT_MODEL} is not in the cache:"
                " using the embedded classifier.",
            )
        model = DEFAULT_MODEL
    folder = user_path(model)
    if folder.is_dir():
        return _source(
            str(folder), "folder", folder / CONFIG, lambda: folder_files(str(folder), folder).weights
        )
    if folder.is_file():
        raise ModelError(f"{model} is a file, no model folder.", "Give the folder that it lies in.")
    repository, at, revision = model.partition("@")
    if model.startswith((".", "/", "~")) or repository.count("/") > 1 or bool(at) != bool(revision):
        raise ModelError(f"There is no model folder at {model}.", "Give a folder or a hub id.")
    hub.check_name(repository)
    return _on_hub(model, repository, revision or MAIN)


def load_classifier(source: ModelSource, needs_head: bool = True) -> Classifier:
    """Load weights and tokenizer; nothing of the files is run as code.

    Args:
        source: what ``find_classifier`` returned; its ``outputs`` become the names in the model's config.
        needs_head: refuse weights without a trained classification head; without one the head is random, by
            a fixed seed.

    Raises:
        MpqError: E-MODEL when it is not a trained classifier with two outputs, E-NETWORK, E-OFFLINE.
    """
    from bert_mpq.compute.encoder import encoder_layers
    from bert_mpq.compute.fingerprint import weights_fingerprint

    if source.kind == "embedded":
        embedded = EMBEDDED[source.name]
        model, tokenizer = load_embedded(embedded)
        revision, weights = embedded.revision, ""
    else:
        files = _files(source)
        model, tokenizer = _load(source, files, needs_head)
        revision, weights = files.commit, files.weights.text
    names = source.outputs.id2label
    model.config.id2label, model.config.label2id = names, {name: index for index, name in names.items()}
    return Classifier(
        source=source,
        model=model,
        tokenizer=tokenizer,
        encoder_fingerprint=weights_fingerprint(encoder_layers(model).state_dict()),
        revision=revision,
        weights=weights,
    )


def _load(source: ModelSource, files: ModelFiles, needs_head: bool) -> tuple[Any, Any]:
    from bert_mpq.sources.pretrained import load_config, load_model, load_tokenizer

    config = load_config(source.name, files.folder)
    tokenizer = load_tokenizer(source.name, files.folder, config)
    model = load_model(source.name, config, files.weights, source.family, needs_head)
    # Files that do not belong together are met in the wild; so are vocabularies padded to a round number.
    if not model.config.vocab_size // 2 <= len(tokenizer) <= model.config.vocab_size:
        raise ModelError(
            f"{source.name} has a tokenizer of {len(tokenizer):,} tokens, the model knows"
            f" {model.config.vocab_size:,}.",
            "Save the model's own tokenizer beside it.",
        )
    return model, tokenizer


def _files(source: ModelSource) -> ModelFiles:
    if source.kind == "folder":
        return folder_files(source.name, Path(source.name))
    return hub_files(source.repository, source.revision)


def _embedded(model: EmbeddedModel, note: str = "") -> ModelSource:
    if not base_available(model):
        base_folder(model)  # raises, with the sentence that says what to install
    return ModelSource(
        name=model.name,
        kind="embedded",
        layers=model.layers,
        hidden=model.hidden,
        inner=model.inner,
        max_length=model.max_length,
        outputs=Outputs(names=("negative", "positive"), known=True),
        parameters=model.parameters,
        note=note,
    )


def _on_hub(name: str, repository: str, revision: str) -> ModelSource:
    def cached() -> Weights | None:
        found = cached_files(repository, revision)
        return found.weights if found else None

    return _source(name, "hub", config_file(repository, revision), cached)


def _source(
    name: str, kind: Literal["hub", "folder"], config: Path, weights: Callable[[], Weights | None]
) -> ModelSource:
    shape = read_shape(name, config)
    found = weights()
    return ModelSource(
        **vars(shape),
        name=name,
        kind=kind,
        max_length=min(LONGEST, shape.positions),
        parameters=found.parameters if found else None,
    )
