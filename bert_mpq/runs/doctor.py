"""Facts about the environment, to find out why something does not work and to paste into a report."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable, existing_part
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.run_record import PACKAGES, version_of
from bert_mpq.settings.choices import DEFAULT_MODEL
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError, excerpt
from bert_mpq.settings.paths import user_path
from bert_mpq.sources import hub, reviews, wheels
from bert_mpq.sources.checkpoints import converted_folder
from bert_mpq.sources.classifiers import find_classifier
from bert_mpq.sources.columns import wanted_of
from bert_mpq.sources.embedded.bases import EMBEDDED
from bert_mpq.sources.embedded.files import installed
from bert_mpq.sources.hub_cache import snapshots
from bert_mpq.sources.model_files import MAIN, ModelFiles, cached_files

State = Literal["ok", "note", "problem"]
LEAST_FREE = 1 << 30  # bytes
EXTRAS = ("questionary", "rich", "safetensors", "huggingface-hub")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One fact.

    Args:
        state: ok; note = works, but worth knowing; problem = something will fail.
        hint: what to do; "" when there is nothing to be done.
    """

    section: str
    name: str
    value: str
    state: State = "ok"
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at."""

    checks: tuple[Check, ...]


def diagnose(config: RunConfig | None = None) -> Diagnosis:
    """Look at versions, devices, hub, offline wheels, folders and disk, and the user's model and data.

    Only the tool's cache is written: the data that was read.
    """
    config = config or RunConfig()
    general = (*_versions(), *_devices(), *_hub(), *_offline(), *_folders(config.output))
    return Diagnosis(checks=(*general, *_model(config), *_data(config)))


def _judged(
    section: str, name: str, value: str, good: bool, hint: str = "", otherwise: State = "note"
) -> Check:
    """Return a fact; where it is not good its state is ``otherwise``, and the hint is given."""
    state: State = "ok" if good else otherwise
    return Check(section=section, name=name, value=value, state=state, hint="" if good else hint)


def _versions() -> list[Check]:
    checks = [
        Check(section="Versions", name="python", value=platform.python_version()),
        Check(section="Versions", name="platform", value=platform.platform()),
    ]
    hint = "Install bert-mpq again, with its dependencies."
    for package in (*PACKAGES, *EXTRAS):
        version = version_of(package)
        checks.append(_judged("Versions", package, version or "missing", bool(version), hint, "problem"))
    return checks


def _devices() -> list[Check]:
    checks = [Check(section="Devices", name="cpu", value=f"{os.cpu_count()} cores, {platform.machine()}")]
    try:
        import torch
    except Exception as error:  # a broken install fails in many ways
        hint = "Install PyTorch again."
        return [*checks, _judged("Devices", "torch", str(error), False, hint, "problem")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        value = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        checks.append(Check(section="Devices", name=f"cuda:{index}", value=value))
    if not torch.cuda.is_available():
        built = torch.version.cuda
        value = "no GPU" if built else "no GPU (this PyTorch is built without CUDA)"
        checks.append(_judged("Devices", "cuda", value, False))
    if torch.backends.mps.is_available():
        checks.append(Check(section="Devices", name="mps", value="Apple GPU"))
    return checks


def _hub() -> list[Check]:
    from huggingface_hub import constants

    reachable = hub.hub_reachable()
    answer = "answers" if reachable else "off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "no answer"
    model = cached_files(DEFAULT_MODEL, MAIN)
    data = all(hub.cached_file(reviews.IMDB, name, kind="dataset") for name in reviews.IMDB_FILES.values())
    hint = "Only cached models and data, or --model embedded, can be used."
    return [
        _judged("Hub", constants.ENDPOINT.removeprefix("https://"), answer, reachable, hint),
        Check(section="Hub", name="cache", value=str(constants.HF_HUB_CACHE)),
        Check(section="Hub", name="converted weights", value=_converted()),
        _judged("Hub", DEFAULT_MODEL, _in_cache(model), model is not None or reachable),
        _judged("Hub", reviews.IMDB, "in the cache" if data else "not in the cache", data or reachable),
    ]


def _in_cache(model: ModelFiles | None) -> str:
    if model is not None:
        return f"in the cache ({model.weights.text} of {model.commit[:7]})"
    return "only a part of it is in the cache" if snapshots(DEFAULT_MODEL) else "not in the cache"


def _converted() -> str:
    files = list(converted_folder().glob("*.safetensors"))
    size = megabytes(8 * sum(path.stat().st_size for path in files))
    return f"{converted_folder()} ({len(files)} files, {size:.0f} MB)"


def _model(config: RunConfig) -> list[Check]:
    """Return what is understood of a model that was named."""
    name = config.model
    if name == RunConfig().model:
        return []
    try:
        source = find_classifier(name)
    except MpqError as error:
        return [Check(section="Model", name=name, value=error.title, state="problem", hint=error.hint)]
    return [Check(section="Model", name=source.name, value=source.text)]


def _offline() -> list[Check]:
    reviews_there = wheels.package_file(reviews.WHEEL, reviews.WHEEL_FILE) is not None
    parts = [("reviews", reviews_there, wheels.INSTALL_HINT)]
    parts += [(f"--model {name}", installed(model), model.install_hint) for name, model in EMBEDDED.items()]
    return [
        _judged("Offline", name, "installed" if present else "not installed", present, hint)
        for name, present, hint in parts
    ]


def _data(config: RunConfig) -> list[Check]:
    if config.data == "imdb":
        return []
    name = excerpt(Path(config.data).name)
    try:
        source = reviews.find_reviews(config.data, wanted_of(config))
    except MpqError as error:
        return [_judged("Data", name, error.title, False, error.hint, "problem")]
    return [Check(section="Data", name=name, value=source.understood)]


def _folders(output: str) -> list[Check]:
    checks = []
    for name in (SENSITIVITIES, EVALUATION):
        shown = str(user_path(output) / name)
        try:
            check_writable(output, name)
            checks.append(Check(section="Folders", name=shown, value="can be written"))
        except MpqError as error:
            checks.append(_judged("Folders", shown, error.title, False, error.hint, "problem"))
    free = shutil.disk_usage(existing_part(user_path(output))).free
    size, enough = f"{free / 2**30:.1f} GiB", free >= LEAST_FREE
    return [*checks, _judged("Folders", "free disk", size, enough, "Free some space.", "problem")]
