"""One classifier's weights in every form that people have them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

State = Mapping[str, torch.Tensor]
SHARDS = 3


def halves(state: State) -> list[dict[str, torch.Tensor]]:
    """Return the tensors dealt out to a few shards."""
    names = sorted(state)
    return [{name: state[name] for name in names[part::SHARDS]} for part in range(SHARDS)]


def shards(whole: str) -> list[str]:
    """Return the names that transformers gives to shards."""
    stem, _, suffix = whole.rpartition(".")
    return [f"{stem}-{part:05}-of-{SHARDS:05}.{suffix}" for part in range(1, SHARDS + 1)]


def write_index(folder: Path, whole: str, parts: list[dict[str, torch.Tensor]]) -> None:
    table = {name: file for file, part in zip(shards(whole), parts, strict=True) for name in part}
    content = {"metadata": {"total_size": 1}, "weight_map": table}
    (folder / f"{whole}.index.json").write_text(json.dumps(content))


def safetensors(folder: Path, state: State) -> None:
    save_file(dict(state), folder / "model.safetensors", metadata={"format": "pt"})


def safetensors_in_shards(folder: Path, state: State) -> None:
    parts = halves(state)
    for name, part in zip(shards("model.safetensors"), parts, strict=True):
        save_file(part, folder / name, metadata={"format": "pt"})
    write_index(folder, "model.safetensors", parts)


def pickle(folder: Path, state: State) -> None:
    torch.save(dict(state), folder / "pytorch_model.bin")


def old_pickle(folder: Path, state: State) -> None:
    """As PyTorch before 1.6 wrote it: no zip archive."""
    torch.save(dict(state), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def pickle_in_shards(folder: Path, state: State) -> None:
    parts = halves(state)
    for name, part in zip(shards("pytorch_model.bin"), parts, strict=True):
        torch.save(part, folder / name)
    write_index(folder, "pytorch_model.bin", parts)


def gamma_and_beta(folder: Path, state: State) -> None:
    """With the names that BERT's layer norms had in 2018."""
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {
        next((name.replace(new, was) for new, was in old.items() if new in name), name): tensor
        for name, tensor in state.items()
    }
    pickle(folder, renamed)


def without_prefix(folder: Path, state: State) -> None:
    safetensors(folder, {name.removeprefix("bert."): tensor for name, tensor in state.items()})


def with_other_files(folder: Path, state: State) -> None:
    """A folder of transformers' Trainer: pickles beside the weights that nobody may open."""
    safetensors(folder, state)
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (folder / name).write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")


def both(folder: Path, state: State) -> None:
    """Safetensors beside other weights: the safetensors count."""
    safetensors(folder, state)
    pickle(folder, {name: torch.zeros_like(tensor) for name, tensor in state.items()})


VARIANTS: dict[str, Callable[[Path, State], None]] = {
    write.__name__: write
    for write in (
        safetensors,
        safetensors_in_shards,
        pickle,
        old_pickle,
        pickle_in_shards,
        gamma_and_beta,
        without_prefix,
        with_other_files,
        both,
    )
}
