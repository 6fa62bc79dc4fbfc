"""The sensitivity files to choose from; those that do not fit are shown with the reason."""

import contextlib
import re
import time
from pathlib import Path

from bert_mpq.allocation.budget import sensitivities_of
from bert_mpq.records.evaluation import Sensitivities
from bert_mpq.records.sensitivity_file import list_sensitivity_files, modified, read_sensitivities
from bert_mpq.records.width_scores import is_width_file, list_width_files, read_width_scores
from bert_mpq.runs.checks import check_layers
from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import Metric, title_of
from bert_mpq.ui.wizard.prompts import Option
from bert_mpq.ui.wizard.steps import Step

DAMAGE_CORRELATION = re.compile(r"[+-]\d\.\d\d")  # with the measured damage, as text files have it


def file_step(sources: Sources) -> Step:
    """Which sensitivity file; it is read again once chosen: it may have changed while the list was open."""

    def check(config: RunConfig) -> None:
        if config.sensitivities is not None:
            check_layers(_read(config.sensitivities, config.score), sources.model)

    return Step(
        name="Load sensitivity file",
        field="sensitivities",
        options=lambda config: file_options(config, sources),
        last=lambda config, earlier: _best(config, sources) or earlier.sensitivities,
        check=check,
        code="E-LAYERS",
        hint="Run Phase 1 for this model.",
    )


def file_options(config: RunConfig, sources: Sources) -> list[Option]:
    """Return the files in ``Sensitivities/``: newest first, then those of several widths, for a budget."""
    files = [*list_sensitivity_files(config.output), *list_width_files(config.output)]
    return [_option(path, config, sources) for path in files]


def _option(path: Path, config: RunConfig, sources: Sources) -> Option:
    try:
        facts = _read(str(path), config.score)
    except MpqError as error:
        reason = error.title.removeprefix(path.name).lstrip(": ")
        broken = "broken JSON" if "is not valid JSON" in reason else reason
        return Option(title=path.name, value=str(path), disabled=broken)
    return Option(
        title=path.name, value=str(path), description=_about(path, facts), disabled=_misfit(facts, sources)
    )


def _best(config: RunConfig, sources: Sources) -> str | None:
    """Return the file whose scores order the layers most like the measured damage; None: none is known to."""
    known = {}
    for path in list_sensitivity_files(config.output):
        with contextlib.suppress(MpqError):
            facts = read_sensitivities(path)
            if DAMAGE_CORRELATION.fullmatch(facts.damage_correlation) and not _misfit(facts, sources):
                known[str(path)] = float(facts.damage_correlation)
    return max(known, key=known.__getitem__, default=None)


def _read(name: str, loss: Metric) -> Sensitivities:
    """Read a sensitivity file, or the losses of a file of several widths; raises MpqError."""
    if not is_width_file(name):
        return read_sensitivities(name)
    return sensitivities_of(read_width_scores(name), loss, Path(name).name)


def _about(path: Path, facts: Sensitivities) -> str:
    if is_width_file(path):
        return f"For a budget: {_measured(facts)}, several widths"
    measured = [_measured(facts)] if facts.metric else []
    if DAMAGE_CORRELATION.fullmatch(facts.damage_correlation):
        measured.append(f"damage {facts.damage_correlation}")
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(modified(path)))
    return ", ".join([f"{len(facts.values)} layers", *measured, written])


def _measured(facts: Sensitivities) -> str:
    """Return metric and reviews, as "PWCCA, 1,000 reviews"."""
    title = title_of(facts.metric)
    samples = f"{int(facts.samples):,}" if facts.samples.isdecimal() else facts.samples
    return f"{title}, {samples} reviews" if samples else title


def _misfit(facts: Sensitivities, sources: Sources) -> str:
    """Say in few words why a file is not this model's; "" when it is."""
    if len(facts.values) != sources.model.layers:
        return f"{len(facts.values)} layers, the model has {sources.model.layers}"
    if facts.model_name and facts.model_name != sources.model.name:
        return f"measured on {facts.model_name}"
    return ""
