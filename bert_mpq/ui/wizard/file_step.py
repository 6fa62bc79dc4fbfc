"""The sensitivity files to choose from; those that do not fit are shown with the reason."""

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
from bert_mpq.settings.metrics import title_of
from bert_mpq.ui.wizard.prompts import Option
from bert_mpq.ui.wizard.steps import Step


def file_step(sources: Sources) -> Step:
    """Which sensitivity file; it is read again once chosen: it may have changed while the list was open."""

    def check(config: RunConfig) -> None:
        if config.sensitivities is not None:
            check_layers(_read(config.sensitivities), sources.model)

    return Step(
        name="Load sensitivity file",
        field="sensitivities",
        options=lambda config: file_options(config, sources),
        check=check,
        code="E-LAYERS",
        hint="Run Phase 1 for this model.",
    )


def file_options(config: RunConfig, sources: Sources) -> list[Option]:
    """Return the files in ``Sensitivities/``: newest first, then those of several widths, for a budget."""
    files = [*list_sensitivity_files(config.output), *list_width_files(config.output)]
    return [_option(path, sources) for path in files]


def _option(path: Path, sources: Sources) -> Option:
    try:
        facts = _read(str(path))
    except MpqError as error:
        reason = error.title.removeprefix(path.name).lstrip(": ")
        broken = "broken JSON" if "is not valid JSON" in reason else reason
        return Option(title=path.name, value=str(path), disabled=broken)
    return Option(
        title=path.name, value=str(path), description=_about(path, facts), disabled=_misfit(facts, sources)
    )


def _read(name: str) -> Sensitivities:
    """Read a sensitivity file, or one of scores at several widths."""
    if not is_width_file(name):
        return read_sensitivities(name)
    scores = read_width_scores(name)
    return sensitivities_of(scores, next(iter(scores.metrics), "kl"), Path(name).name)


def _about(path: Path, facts: Sensitivities) -> str:
    if is_width_file(path):
        return f"For a budget: {_measured(facts)}, several widths"
    measured = [_measured(facts)] if facts.metric else []
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
