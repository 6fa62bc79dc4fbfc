"""The files of a classifier: in a folder, on the hub, or in the hub's cache at whatever revision is there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.errors import ModelError, MpqError
from bert_mpq.sources import hub
from bert_mpq.sources.checkpoints import (
    PICKLE,
    SAFETENSORS,
    Weights,
    check_content,
    find_weights,
    no_weights,
    weights_in,
)
from bert_mpq.sources.hub_cache import Snapshot, snapshots
from bert_mpq.sources.wheels import sha256

CONFIG = "config.json"
VOCABULARIES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model"),
    *("sentencepiece.model", "tokenizer.model"),
)
TOKENIZER = (
    *VOCABULARIES,
    *("merges.txt", "entity_vocab.json", "added_tokens.json", "special_tokens_map.json"),
    "tokenizer_config.json",
)
MAIN = "main"
# The default model's repository has safetensors in an open pull request only. Of all pull requests on the hub
# this one is used without being asked for, and only as long as it is this commit. Only the beginning of the
# commit is known, and no SHA-256: a download is checked against the one that the hub itself gives.
CONVERSION = "refs/pr/1"
CONVERSION_COMMIT = "17ca895"


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """What a classifier is loaded from.

    Args:
        folder: with config.json and the tokenizer.
        weights: the weights; on the hub they may be of another commit.
        commit: of the weights; "" for a folder.
    """

    folder: Path
    weights: Weights
    commit: str = ""


def folder_files(name: str, folder: Path) -> ModelFiles:
    """Return the files of a model in a folder.

    Raises:
        MpqError: E-MODEL when it has no weights, not all of them, or only what stands for them.
    """
    weights = weights_in(folder)
    if weights is None:
        raise no_weights(name, folder)
    for path in weights.files:
        check_content(path)
    return ModelFiles(folder=folder, weights=weights)


def hub_files(repository: str, revision: str) -> ModelFiles:
    """Return the files of a model on the hub: downloaded, of the requested revision, else those in the cache.

    Raises:
        MpqError: what ``hub.hub_file`` raises; E-MODEL when there are no weights.
    """
    try:
        return _downloaded(repository, revision)
    except MpqError as error:
        found = cached_files(repository, revision) if error.code == "E-NETWORK" else None
        if found is None:
            raise
        return found


def config_file(repository: str, revision: str) -> Path:
    """Return config.json of a model on the hub, or of what the cache holds of it.

    Raises:
        MpqError: what ``hub.hub_file`` raises.
    """
    if not hub.hub_reachable():
        found = cached_files(repository, revision)
        if found is None:
            raise _not_cached(repository, revision)
        return found.folder / CONFIG
    return hub.hub_file(repository, CONFIG, revision=revision)


def cached_files(repository: str, revision: str) -> ModelFiles | None:
    """Return what the cache holds of a model; None where that is not enough to load it.

    The requested revision comes first. Where none was named any other will do, but for those that are known
    from a pull request alone.
    """
    found = snapshots(repository)
    asked = [each for each in found if each.matches(revision) or _is_conversion(repository, revision, each)]
    others = [
        each
        for each in found
        if revision == MAIN and each not in asked and not each.proposed and (each.folder / CONFIG).is_file()
    ]
    for group in (asked, others):
        whole = [(each, weights) for each in group if (weights := _whole_weights(each.folder)) is not None]
        for snapshot, weights in sorted(whole, key=lambda each: each[1].pickled):
            folder = next((each.folder for each in (snapshot, *asked) if _has_config(each.folder)), None)
            if folder is not None:
                return ModelFiles(folder=folder, weights=weights, commit=snapshot.commit)
    return None


def _downloaded(repository: str, revision: str) -> ModelFiles:
    if not hub.hub_reachable():
        raise _not_cached(repository, revision)
    folder = hub.hub_file(repository, CONFIG, revision=revision).parent
    commit = folder.name  # the cache names snapshots by their commit

    def find(name: str) -> Path | None:
        return hub.file_at(repository, name, commit)

    with ThreadPoolExecutor(len(TOKENIZER)) as pool:
        list(pool.map(find, TOKENIZER))
    weights = find_weights(find, (SAFETENSORS,))
    if weights is None and (repository, revision) == (DEFAULT_MODEL, MAIN):
        converted = _conversion()
        if converted is not None:
            return ModelFiles(folder=folder, weights=converted, commit=converted.files[0].parent.name)
    weights = weights or find_weights(find, (PICKLE,))
    if weights is None:
        raise ModelError(
            f"{repository} holds neither {SAFETENSORS} nor {PICKLE} at revision {revision}.",
            f"Name a revision that does: --model {repository}@REVISION.",
        )
    return ModelFiles(folder=folder, weights=weights, commit=commit)


def _conversion() -> Weights | None:
    """Return the default model's converted weights; None when the pull request is not what it was."""
    for snapshot in snapshots(DEFAULT_MODEL):
        if snapshot.matches(CONVERSION_COMMIT) and (weights := _whole_weights(snapshot.folder)) is not None:
            return weights
    known = hub.metadata(DEFAULT_MODEL, SAFETENSORS, CONVERSION)
    if known is None or not known.commit.startswith(CONVERSION_COMMIT):
        return None
    path = hub.file_at(DEFAULT_MODEL, SAFETENSORS, known.commit)
    if path is None or (known.sha256 and sha256(path) != known.sha256):
        return None
    return Weights(files=(path,), pickled=False)


def _is_conversion(repository: str, revision: str, snapshot: Snapshot) -> bool:
    return (repository, revision) == (DEFAULT_MODEL, MAIN) and snapshot.matches(CONVERSION_COMMIT)


def _whole_weights(folder: Path) -> Weights | None:
    try:
        return weights_in(folder)
    except MpqError:  # a download that broke off after the first shard
        return None


def _has_config(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in VOCABULARIES)


def _not_cached(repository: str, revision: str) -> MpqError:
    """Return the error that says what of a model the cache holds, if it is not enough."""
    found = snapshots(repository)
    proposed = [each for each in found if each.proposed and _whole_weights(each.folder) is not None]
    if not found:
        return hub.network_error(repository)
    title = f"Cannot reach the Hugging Face hub, and the cache holds only a part of {repository}"
    if proposed:
        named = f"{repository}@{proposed[0].revisions[0]}"
        return MpqError(
            "E-NETWORK",
            f"{title}: its weights are those of a pull request.",
            f"Name the pull request if you trust it: --model {named}.",
        )
    at = "" if revision == MAIN else f" at revision {revision}"
    return MpqError(
        "E-NETWORK", f"{title}{at}.", "Run it once where the hub can be reached, or --model PATH."
    )
