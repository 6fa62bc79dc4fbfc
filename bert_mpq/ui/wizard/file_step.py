"""The sensitivity files to choose from; those that do not fit are shown with the reason."""

import textwrap
import time
from pathlib import Path

from bert_mpq.allocation.budget import sensitivities_of
from bert_mpq.records.evaluation import Sensitivities
from bert_mpq.records.sensitivity_file import list_sensitivities, read_sensitivities
from bert_mpq.records.width_scores import is_width_file, list_width_files, read_width_scores
from bert_mpq.runs.checks import check_layers
from bert_mpq.runs.plan import Sources
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import title_of
from bert_mpq.ui.console import error_console
from bert_mpq.ui.views import panels as views
from bert_mpq.ui.wizard.prompts import Option, choose
from bert_mpq.ui.wizard.steps import Back, Step


def file_step(sources: Sources) -> Step:
    """Which sensitivity file; it is read again once chosen: it may have changed while the list was open."""

    def answer(config: RunConfig, title: str, earlier: RunConfig) -> RunConfig | Back:
        while True:
            options = file_options(config, sources)
            hint = "Run Phase 1 for this model."
            value = choose(title, options, earlier.sensitivities, code="E-LAYERS", hint=hint)
            if isinstance(value, Back):
                return value
            try:
                check_layers(_read(value), sources.model)
            except MpqError as error:
                views.print_error(error, error_console())
                continue
            return config.replace(sensitivities=value)

    return Step(name="Load sensitivity file", ask=answer, field="sensitivities")


def file_options(config: RunConfig, sources: Sources) -> list[Option]:
    """Return the files in ``Sensitivities/``, newest first."""
    options = []
    for file in list_sensitivities(config.output):
        facts, title = file.sensitivities, file.path.name
        problem = file.problem.removeprefix(title).lstrip(": ")
        description = ""
        if facts is not None:
            problem = _misfit(facts, sources)
            description = _description(facts, file.modified)
        room = max(12, 71 - len(title))
        problem = "broken JSON" if "is not valid JSON" in problem else problem
        problem = textwrap.shorten(problem, room, placeholder="...") if problem else ""
        options.append(Option(title=title, value=str(file.path), description=description, disabled=problem))
    return options + [_width_option(path, sources) for path in list_width_files(config.output)]


def _width_option(path: Path, sources: Sources) -> Option:
    """Return a row for a file of scores at several widths, which a budget is planned from."""
    problem = description = ""
    try:
        facts = _read(str(path))
        problem = _misfit(facts, sources)
        description = f"For a budget: {_measured(facts)}, several widths"
    except MpqError as error:
        problem = error.title.removeprefix(path.name).lstrip(": ")
    problem = textwrap.shorten(problem, max(12, 71 - len(path.name)), placeholder="...") if problem else ""
    return Option(title=path.name, value=str(path), description=description, disabled=problem)


def _read(name: str) -> Sensitivities:
    """Read a sensitivity file, or one of scores at several widths."""
    if not is_width_file(name):
        return read_sensitivities(name)
    scores = read_width_scores(name)
    return sensitivities_of(scores, next(iter(scores.metrics), "kl"), Path(name).name)


def _description(facts: Sensitivities, modified: float) -> str:
    parts = [f"{len(facts.values)} layers"]
    if facts.metric:
        parts.append(_measured(facts))
    return ", ".join([*parts, time.strftime("%Y-%m-%d %H:%M", time.localtime(modified))])


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
