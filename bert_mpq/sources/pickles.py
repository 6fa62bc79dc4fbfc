"""Pickles of tensors: read by torch without running anything in them, converted to safetensors once."""

import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources.cache import made_at
from bert_mpq.sources.checkpoints import check_content, converted_folder, read_safetensors
from bert_mpq.sources.wheels import sha256

HINT = "Save the model again with save_pretrained(), which writes safetensors."
NO_TABLE = "it is no table of tensors by name"
SPARE = 1 << 20  # bytes
MORE_THAN_TENSORS = ("unsupported global", "can only build", "can only create", "must be imported")


def read_pickles(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """Return the tensors of all shards by name, each converted where that has not been done before.

    Raises:
        MpqError: E-MODEL when a file holds anything but tensors, or is damaged.
    """
    kept = []
    state: dict[str, Tensor] = {}
    for path in files:
        check_content(path)
        converted = converted_folder() / f"{sha256(path)}.safetensors"
        if not converted.is_file() and not _keep(tensors := read_pickle(path), converted):
            state |= tensors  # a cache that cannot be written costs time, no more
            continue
        kept.append(converted)
    return state | read_safetensors(tuple(kept))


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors of one file by name; files from before PyTorch 1.6 are no zip archives.

    No more memory is taken than the file is large, and nothing in it is run.

    Raises:
        MpqError: E-MODEL when it holds anything but tensors, or is damaged.
    """
    try:
        archive = zipfile.is_zipfile(path)  # some versions of Python raise for a damaged one
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # every kind of damage has its own
        raise _unusable(path, _reason(error)) from error
    if not isinstance(content, dict) or not content:
        raise _unusable(path, NO_TABLE)
    largest, state = path.stat().st_size, {}
    for name, value in content.items():
        if not isinstance(name, str) or not _plain(value):
            raise _unusable(path, NO_TABLE)
        # A tensor may be a view that repeats few values many times.
        if value.nbytes > largest:
            raise _unusable(path, f"{name[:80]} is larger than the file")
        state[name] = value.detach()
    if sum(value.nbytes for value in state.values()) > 2 * largest + SPARE:
        raise _unusable(path, "its tensors are larger than the file")
    # Tied tensors, too, get memory of their own: safetensors asks for it.
    return {name: value.contiguous().clone() for name, value in state.items()}


def _plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def _unusable(path: Path, reason: str) -> MpqError:
    return ModelError(f"{path.name} cannot be used: {reason}.", HINT)


def _reason(error: Exception) -> str:
    text = str(error).lower()
    if "torchscript" in text:
        return "it is a TorchScript program"
    if any(words in text for words in MORE_THAN_TENSORS):
        return "its pickle holds more than tensors, and is not run"
    return "it is damaged, was cut off, or is no file of weights that PyTorch reads"


def _keep(tensors: dict[str, Tensor], path: Path) -> bool:
    """Write tensors as ``path``, whole or not at all; return whether that could be done."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with made_at(path) as written:
            save_file(tensors, written, metadata={"format": "pt"})
    except (MpqError, SafetensorError):
        return False
    return True
