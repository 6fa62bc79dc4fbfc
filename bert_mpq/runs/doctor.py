"""Facts about the environment, to find out why something does not work and to paste into a report."""

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable
from bert_mpq.records.numbers import megabytes
from bert_mpq.records.run_record import PACKAGES
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
from bert_mpq.sources.model_files import DEFAULT_MODEL, MAIN, ModelFiles, cached_files

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


def diagnose(config: RunConfig | None = None) -> tuple[Check, ...]:
    """Look at versions, devices, hub, offline wheels, folders and disk, and the user's model and data.

    Only the tool's cache is written: the data that was read.
    """
    config = config or RunConfig()
    general = (*_versions(), *_devices(), *_hub(), *_offline(), *_folders(config.output))
    return (*general, *_model(config), *_data(config))


def _versions() -> list[Check]:
    checks = [
        Check(section="Versions", name="python", value=platform.python_version()),
        Check(section="Versions", name="platform", value=platform.platform()),
    ]
    for package in (*PACKAGES, *EXTRAS):
        try:
            checks.append(Check(section="Versions", name=package, value=importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            hint = "Install bert-mpq again, with its dependencies."
            checks.append(
                Check(section="Versions", name=package, value="missing", state="problem", hint=hint)
            )
    return checks


def _devices() -> list[Check]:
    cores = Check(section="Devices", name="cpu", value=f"{os.cpu_count()} cores, {platform.machine()}")
    try:
        import torch
    except Exception as error:  # a broken install fails in many ways
        hint = "Install PyTorch again."
        return [cores, Check(section="Devices", name="torch", value=str(error), state="problem", hint=hint)]
    checks = [cores]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        value = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        checks.append(Check(section="Devices", name=f"cuda:{index}", value=value))
    if not torch.cuda.is_available():
        built = torch.version.cuda
        value = "no GPU" if built else "no GPU (this PyTorch is built without CUDA)"
        checks.append(Check(section="Devices", name="cuda", value=value, state="note"))
    if torch.backends.mps.is_available():
        checks.append(Check(section="Devices", name="mps", value="Apple GPU"))
    return checks


def _hub() -> list[Check]:
    from huggingface_hub import constants

    def check(name: str, value: str, good: bool, hint: str = "") -> Check:
        state: State = "ok" if good else "note"
        return Check(section="Hub", name=name, value=value, state=state, hint="" if good else hint)

    reachable = hub.hub_reachable()
    answer = "answers" if reachable else "off (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "no answer"
    model = cached_files(DEFAULT_MODEL, MAIN)
    data = all(hub.cached_file(reviews.IMDB, name, kind="dataset") for name in reviews.IMDB_FILES.values())
    hint = "Only cached models and data, or --model embedded, can be used."
    return [
        check(constants.ENDPOINT.removeprefix("https://"), answer, reachable, hint),
        Check(section="Hub", name="cache", value=str(constants.HF_HUB_CACHE)),
        Check(section="Hub", name="converted weights", value=_converted()),
        check(DEFAULT_MODEL, _in_cache(model), model is not None or reachable),
        check(reviews.IMDB, "in the cache" if data else "not in the cache", data or reachable),
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
    checks = []
    reviews_there = wheels.package_file(reviews.WHEEL, reviews.WHEEL_FILE) is not None
    for name, present, hint in (
        ("reviews", reviews_there, wheels.INSTALL_HINT),
        *((f"--model {name}", installed(model), model.install_hint) for name, model in EMBEDDED.items()),
    ):
        value = "installed" if present else "not installed"
        state: State = "ok" if present else "note"
        checks.append(
            Check(section="Offline", name=name, value=value, state=state, hint="" if present else hint)
        )
    return checks


def _data(config: RunConfig) -> list[Check]:
    if config.data == "imdb":
        return []
    name = excerpt(Path(config.data).name)
    try:
        source = reviews.find_reviews(config.data, wanted_of(config))
    except MpqError as error:
        return [Check(section="Data", name=name, value=error.title, state="problem", hint=error.hint)]
    return [Check(section="Data", name=name, value=source.understood)]


def _folders(output: str) -> list[Check]:
    checks = []
    for name in (SENSITIVITIES, EVALUATION):
        shown = str(user_path(output) / name)
        try:
            check_writable(output, name)
            checks.append(Check(section="Folders", name=shown, value="can be written"))
        except MpqError as error:
            checks.append(
                Check(section="Folders", name=shown, value=error.title, state="problem", hint=error.hint)
            )
    free = shutil.disk_usage(_existing(user_path(output).absolute())).free
    enough = free >= LEAST_FREE
    checks.append(
        Check(
            section="Folders",
            name="free disk",
            value=f"{free / 2**30:.1f} GiB",
            state="ok" if enough else "problem",
            hint="" if enough else "Free some space.",
        )
    )
    return checks


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())
