"""The config.json of a classifier: its shape, and whether it can be measured, before anything is loaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_mpq.compute.outputs import Outputs, read_outputs
from bert_mpq.records.json_file import read_json
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources import families
from bert_mpq.sources.families import Family, family_of

LARGEST = 1 << 24  # bytes
LONGEST = 512
MOST_LAYERS = 1_000
ADAPTER = "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a config.json says of a classifier.

    Args:
        layers: encoder layers.
        hidden: features per token.
        inner: features between the two Linears of a layer's feed-forward part.
        positions: tokens per review at most.
        family: how models of its type are run.
        outputs: what its two outputs mean.
    """

    layers: int
    hidden: int
    inner: int
    positions: int = LONGEST
    family: Family = field(default_factory=Family)
    outputs: Outputs = field(default_factory=Outputs)

    @property
    def layer_weights(self) -> int:
        """Linear weights of an encoder layer, as BERT has them."""
        return 4 * self.hidden**2 + 2 * self.hidden * self.inner


def read_shape(name: str, path: Path) -> Shape:
    """Read the shape of a classifier.

    Args:
        name: the model, for the sentences.
        path: its config.json.

    Raises:
        MpqError: E-MODEL when it is no classifier that can be measured, and why; E-LABELS when it contradicts
            itself on what its outputs mean.
    """
    config = _read(name, path)
    if config.get("quantization_config") is not None:
        raise ModelError(f"{name} is quantized already.", "Give the FP32 model it was made from.")
    try:
        family = family_of(config)
    except ValueError as error:
        raise ModelError(f"{name} cannot be measured: {error}.", families.HINT) from error
    _check_outputs(name, config)
    try:
        outputs = read_outputs(config.get("id2label"), config.get("label2id"))
    except ValueError as error:
        hint = "Correct id2label and label2id in its config.json."
        raise MpqError("E-LABELS", f"What the outputs of {name} mean is unclear: {error}.", hint) from error
    try:
        return Shape(
            layers=_layers(config),
            hidden=_integer(config, "hidden_size", "dim"),
            inner=_integer(config, "intermediate_size", "hidden_dim"),
            positions=_positions(config, family),
            family=family,
            outputs=outputs,
        )
    except ValueError as error:
        raise ModelError(f"The config.json of {name} is broken: {error}.", _AGAIN) from error


_AGAIN = "Download or save the model again."


def _read(name: str, path: Path) -> dict[str, Any]:
    try:
        config = read_json(path, LARGEST, "config.json", strict=False)
    except FileNotFoundError as error:
        raise _no_config(name, path.parent) from error
    except json.JSONDecodeError as error:
        raise ModelError(f"The config.json of {name} is not valid JSON.", _AGAIN) from error
    except ValueError as error:
        raise ModelError(f"The config.json of {name} cannot be used: {error}.", _AGAIN) from error
    if not isinstance(config, dict):
        raise ModelError(f"The config.json of {name} is no JSON object.", _AGAIN)
    return config


def _no_config(name: str, folder: Path) -> MpqError:
    """Return the error for a folder without config.json; it says what the folder is instead."""
    if (folder / ADAPTER).is_file():
        return ModelError(
            f"{name} holds an adapter (LoRA), not a whole model.",
            "Merge it into its model with PEFT, merge_and_unload(), and save that.",
        )
    inside = sorted(path.parent.name for path in folder.glob("*/config.json")) if folder.is_dir() else []
    if inside:
        return ModelError(
            f"{name} has no config.json, but there is one in {inside[-1]}/.",
            f"Give that folder: --model {folder / inside[-1]}.",
        )
    return ModelError(f"{name} has no config.json.", "Give a folder that save_pretrained wrote.")


def _check_outputs(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a number of outputs other than two, where the config says one."""
    names = config.get("id2label")
    count = len(names) if isinstance(names, Mapping) and names else config.get("num_labels", 2)
    if type(count) is int and count != 2:
        raise wrong_outputs(name, count)


def wrong_outputs(name: str, count: int) -> MpqError:
    """Return the error for a head that has not two outputs."""
    title = f"{name} has {count} output{'' if count == 1 else 's'}, not 2"
    if count == 1:
        title += ": it gives a score, not a class"
    return ModelError(f"{title}.", "Use a sentiment classifier with the labels negative and positive.")


def _layers(config: Mapping[str, Any]) -> int:
    layers = _integer(config, "num_hidden_layers", "n_layers")
    if layers > MOST_LAYERS:
        raise ValueError(f"it says more than {MOST_LAYERS:,} encoder layers")
    return layers


def _positions(config: Mapping[str, Any], family: Family) -> int:
    usable = _integer({"max_position_embeddings": LONGEST, **config}, "max_position_embeddings")
    usable = min(usable - family.reserved, family.longest or usable)
    if usable < 1:
        raise ValueError("it leaves no position for a token")
    return usable


def _integer(config: Mapping[str, Any], *keys: str) -> int:
    for key in keys:
        value = config.get(key)
        if type(value) is int and value > 0:
            return value
    raise ValueError(f"it has no usable {keys[0]}")
