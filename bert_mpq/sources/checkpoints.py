"""Weights as people have them: safetensors or pickles of tensors, in one file or in shards."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bert_mpq.records.json_file import read_json
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.settings.paths import cache_folder

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
INDEX = ".index.json"
LARGEST_INDEX = 1 << 26  # bytes
LFS = b"version https://git-lfs"
OTHERS = {  # what people have instead, and what to do about it
    "adapter_model.safetensors": "Merge the adapter into its model with PEFT: merge_and_unload().",
    "adapter_model.bin": "Merge the adapter into its model with PEFT: merge_and_unload().",
    "tf_model.h5": "Convert it to PyTorch: from_pretrained(FOLDER, from_tf=True) of transformers 4.",
    "flax_model.msgpack": "Convert it to PyTorch: from_pretrained(FOLDER, from_flax=True) of transformers 4.",
    "model.onnx": "Give the PyTorch model that it was exported from.",
    "training_args.bin": "Give the folder of a checkpoint, as save_pretrained writes it.",
}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The files that hold the weights of a model.

    Args:
        files: one, or the shards in the order of their names.
        pickled: whether they are pickles; else safetensors.
    """

    files: tuple[Path, ...]
    pickled: bool

    @property
    def text(self) -> str:
        """The files in words, for screens and records."""
        whole = PICKLE if self.pickled else SAFETENSORS
        shards = f" in {len(self.files)} shards" if len(self.files) > 1 else ""
        return f"{whole}{shards}{', converted to safetensors' if self.pickled else ''}"

    @property
    def parameters(self) -> int | None:
        """Floating-point values, by the heads of the files; None where those do not say."""
        counts = [None if self.pickled else _parameters_of(path) for path in self.files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def _parameters_of(path: Path) -> int | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    floating = [tensor for tensor in tensors if tensor.get_dtype().startswith(("F", "BF"))]
    return sum(int(math.prod(tensor.get_shape())) for tensor in floating)


def weights_in(folder: Path) -> Weights | None:
    """Return the weights in a folder: safetensors before pickles; None where there are none.

    Raises:
        MpqError: E-MODEL when an index is broken, or names a shard that is not there.
    """
    return find_weights(lambda name: path if (path := folder / name).is_file() else None)


def find_weights(
    find: Callable[[str], Path | None], whole: tuple[str, ...] = (SAFETENSORS, PICKLE)
) -> Weights | None:
    """Return the weights among files that ``find`` returns by name, or downloads.

    Args:
        find: returns the path of a file, or None where there is none.
        whole: names of a single file, the best first; each may be in shards instead.

    Raises:
        MpqError: as ``weights_in``; what ``find`` raises.
    """
    for name in whole:
        if (path := find(name)) is not None:
            return Weights(files=(path,), pickled=name == PICKLE)
        if (index := find(name + INDEX)) is not None:
            shards = [(shard, find(shard)) for shard in shard_names(index)]
            missing = [shard for shard, path in shards if path is None]
            if missing:
                raise ModelError(
                    f"{index.name} names {missing[0]}, which is not there.", "Download or copy every shard."
                )
            return Weights(files=tuple(path for _, path in shards if path), pickled=name == PICKLE)
    return None


def shard_names(index: Path) -> list[str]:
    """Return the files that an index names, each once.

    Raises:
        MpqError: E-MODEL when it is no index, or names a file in another folder.
    """
    try:
        content = read_json(index, LARGEST_INDEX, "index of weights", strict=False)
        table = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(table, dict) or not table:
            raise ValueError("it has no weight_map")
        names = table.values()
        if not all(
            isinstance(name, str) and 0 < len(name) < 64 and name == Path(name).name for name in names
        ):
            raise ValueError("it names files that cannot be beside it")
    except json.JSONDecodeError as error:
        raise _broken(index, "it is not valid JSON") from error
    except ValueError as error:
        raise _broken(index, str(error)) from error
    return sorted(set(names))


def no_weights(name: str, folder: Path) -> MpqError:
    """Return the error for a folder without weights; it says what there is instead."""
    found = next((other for other in OTHERS if (folder / other).is_file()), None)
    title = f"{name} holds neither {SAFETENSORS} nor {PICKLE}"
    if found is None:
        return ModelError(f"{title}.", "Give a folder that save_pretrained wrote.")
    return ModelError(f"{title}, only {found}.", OTHERS[found])


def converted_folder() -> Path:
    """Return the folder with the pickles that were converted to safetensors; it need not exist."""
    return cache_folder() / "weights"


def read_safetensors(files: tuple[Path, ...]) -> dict[str, "Tensor"]:
    """Return the tensors of all shards by name.

    Raises:
        MpqError: E-MODEL when a file is damaged, or a tensor stands in two of them.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for path in files:
        check_content(path)
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise _broken(path, "it is damaged, or was cut off") from error
        if twice := state.keys() & tensors.keys():
            raise _broken(path, f"{min(twice)[:80]} stands in another shard, too")
        state |= tensors
    return state


def check_content(path: Path) -> None:
    """Refuse what only stands for a file.

    Raises:
        MpqError: E-MODEL for a pointer of Git LFS, and for an empty file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS))
    except OSError as error:
        raise _broken(path, f"it cannot be read ({(error.strerror or '').lower()})") from error
    if head == LFS:
        raise ModelError(
            f"{path.name} is a pointer of Git LFS, not the weights.", "Run git lfs pull in its folder."
        )
    if not head:
        raise _broken(path, "it is empty")


def _broken(path: Path, reason: str) -> MpqError:
    return ModelError(f"{path.name} cannot be used: {reason}.", "Download or save the model again.")
