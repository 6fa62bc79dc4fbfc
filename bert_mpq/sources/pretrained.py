"""A classifier made of its files by transformers: no code of the files is run, and every refusal says why."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bert_mpq.compute.encoder import encoder_layers, layer_path
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources.checkpoints import Weights, read_safetensors
from bert_mpq.sources.families import Family
from bert_mpq.sources.model_config import wrong_outputs
from bert_mpq.sources.model_files import VOCABULARIES
from bert_mpq.sources.pickles import read_pickles

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
SPARE = 1 << 20  # values
VERBOSE = "-v shows what transformers says."
PACKAGES = ("sentencepiece", "tiktoken", "protobuf")  # that some tokenizers need


def load_config(name: str, folder: Path) -> Any:
    """Return the config of a model; raises MpqError E-MODEL when transformers does not read it."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # every version of transformers refuses a wrong config.json in its own way
        raise ModelError(
            f"The config.json of {name} is none that transformers reads.",
            f"Download or save the model again. {VERBOSE}",
        ) from error


def load_tokenizer(name: str, folder: Path, config: Any) -> Any:
    """Return the tokenizer of a model.

    Raises:
        MpqError: E-MODEL when there is none, it is broken, or it needs a package that is not installed.
    """
    from transformers import AutoTokenizer

    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise ModelError(
            f"{name} has no tokenizer (no tokenizer.json, no vocab.txt).",
            "Save the model's own tokenizer beside it.",
        )
    try:
        return AutoTokenizer.from_pretrained(
            folder, config=config, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:  # transformers and tokenizers refuse in their own ways
        missing = next((package for package in PACKAGES if package in str(error)), None)
        if isinstance(error, ImportError) and missing:
            raise ModelError(
                f"The tokenizer of {name} needs the package {missing}.", f"pip install {missing}"
            ) from error
        raise ModelError(
            f"The tokenizer of {name} cannot be read.", f"Save it again with save_pretrained(). {VERBOSE}"
        ) from error


def load_model(name: str, config: Any, weights: Weights, family: Family, needs_head: bool) -> Any:
    """Return the classifier, in FP32, in evaluation mode.

    Args:
        config: what ``load_config`` returned.
        needs_head: refuse weights without a classification head of two outputs; without one the head is
            random, by a fixed seed.

    Raises:
        MpqError: E-MODEL when config and weights make no such classifier.
    """
    state = read_pickles(weights.files) if weights.pickled else read_safetensors(weights.files)
    _check_types(name, state)
    asked = {key: getattr(config, key, None) for key in family.runs_as}
    vars(config).update(family.runs_as)
    model, info = _built(name, config, state)
    vars(model.config).update(asked)
    path = layer_path(model)
    _check_layers(name, len(encoder_layers(model)), path, info["unexpected_keys"])
    _check_fit(name, model, path, info, needs_head)
    _check_finite(name, model)
    return model.eval()


def _built(name: str, config: Any, state: dict[str, Tensor]) -> tuple[Any, dict[str, Any]]:
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    try:
        kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    except KeyError as error:
        title = f"This version of transformers has no text classifier of the type {config.model_type}."
        raise ModelError(title, "Install a newer one: pip install -U transformers.") from error
    try:
        with torch.random.fork_rng(devices=[]):
            with torch.device("meta"):
                _check_size(name, kind(config), state)
            torch.manual_seed(0)  # for what weights without a head leave to chance
            model, info = kind.from_pretrained(
                None,
                config=config,
                state_dict=state,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported, so that the sentence can be our own
            )
    except MpqError:
        raise
    except Exception as error:
        raise ModelError(
            f"transformers cannot make a model of the config.json and the weights of {name}.",
            f"Download or save the model again. {VERBOSE}",
        ) from error
    return model, info


def _check_size(name: str, model: Any, state: Mapping[str, Tensor]) -> None:
    """Refuse a config that asks for much more than the weights fill, before there is memory for it."""
    wanted = sum(value.numel() for value in (*model.parameters(), *model.buffers()))
    held = sum(value.numel() for value in state.values())
    if wanted > 2 * held + SPARE:
        raise ModelError(
            f"The config.json of {name} asks for {wanted:,} values, its weights hold {held:,}.",
            "Use the config.json that belongs to the weights.",
        )


def _check_types(name: str, state: Mapping[str, Tensor]) -> None:
    for key, tensor in state.items():
        if tensor.dtype not in FLOATS and tensor.dim() > 1 and key.endswith("weight"):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"{name} holds weights of the type {kind} ({key[:80]}): it is quantized already.",
                "Give the FP32 model it was made from.",
            )


def _check_layers(name: str, layers: int, path: str, unexpected: Iterable[str]) -> None:
    """Refuse weights of layers that the config has not, or that the layers have no place for."""
    inside = re.compile(rf"(?:^|\.){re.escape(path.partition('.')[2])}\.(\d+)\.")
    found = [(match[1], key) for key in sorted(unexpected) if (match := inside.search(key))]
    most = max((int(index) for index, _ in found), default=0) + 1
    if most > layers:
        raise ModelError(
            f"The weights of {name} have {most} encoder layers, its config.json says {layers}.",
            "Use the config.json that belongs to the weights.",
        )
    odd = [key for _, key in found if key.endswith("weight")]
    if odd:
        raise ModelError(
            f"The encoder of {name} has no place for its weight {odd[0][:100]}.",
            "Merge adapters into the model with PEFT: merge_and_unload().",
        )


def _check_fit(name: str, model: Any, path: str, info: Mapping[str, Any], needs_head: bool) -> None:
    """Refuse weights that are missing, or have another shape than the config says."""
    base = f"{model.base_model_prefix}."
    wrong = {key: (tuple(found), tuple(wanted)) for key, found, wanted in sorted(info["mismatched_keys"])}
    for key, (found, wanted) in wrong.items():
        inside = key.startswith(base)
        if needs_head and not inside and wanted[:1] == (2,) and len(found) == len(wanted) and found[0] != 2:
            raise wrong_outputs(name, found[0])
        if needs_head or inside:
            raise ModelError(
                f"{key} of {name} has the shape {_shape(found)}, its config.json says {_shape(wanted)}.",
                "Use the config.json that belongs to the weights.",
            )
    missing = sorted({*info["missing_keys"], *wrong})
    incomplete = [key for key in missing if key.startswith(base) and not _pools(key, base)]
    if incomplete:
        raise ModelError(
            f"{name} is incomplete ({incomplete[0]} is missing).",
            "Use a model that was fine-tuned for classification.",
        )
    if missing and needs_head:
        first = next((key for key in missing if not key.startswith(base)), missing[0])
        raise ModelError(
            f"{name} has no trained classification head ({first} is missing).",
            "Use a model that was fine-tuned for classification, or --fit-head 2000.",
        )


def _pools(key: str, base: str) -> bool:
    """Return whether a weight belongs to the pooler, which a model without a head may lack, too."""
    return "pool" in key.removeprefix(base).partition(".")[0]


def _check_finite(name: str, model: Any) -> None:
    broken = [key for key, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if broken:
        raise ModelError(
            f"{name} holds NaN or infinite values ({broken[0]}).",
            "The checkpoint is broken: use another one.",
        )


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in sizes) or "of a single number"
