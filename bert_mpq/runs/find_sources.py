"""Where the model and the data of a run come from, here and now."""

import dataclasses

from bert_mpq.compute import distributed
from bert_mpq.records.reading import newest_record
from bert_mpq.runs.plan import Phase, Sources
from bert_mpq.settings.choices import DEFAULT_MODEL, Split
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.sources.classifiers import find_classifier
from bert_mpq.sources.columns import wanted_of
from bert_mpq.sources.reviews import find_reviews, size_of

NEEDED: dict[Phase, tuple[Split, ...]] = {
    "sensitivity": ("calibration",),
    "quantize": ("evaluation",),
    "run": ("calibration", "evaluation"),
}


class StandInError(MpqError):
    """The embedded classifier would take the place of the model that the last run in a folder measured."""


def find_sources(config: RunConfig, phase: Phase) -> Sources:
    """Decide where model and data come from, and count the reviews of the splits that ``phase`` needs.

    Raises:
        MpqError: E-NETWORK, E-OFFLINE, E-MODEL, E-LABELS, what ``find_reviews`` raises; E-DISTRIBUTED where
            processes find different things, as when only one host reaches the hub.
        StandInError: E-NETWORK.
    """
    model = find_classifier(config.model)
    if named(config, model.name) != config:
        _check_stand_in(config)
    if config.swap_labels:
        model = dataclasses.replace(model, outputs=model.outputs.swapped)
    data = find_reviews(config.data, wanted_of(config))
    sizes = {split: size_of(data, split) for split in NEEDED[phase]}
    distributed.agree("models", model.name)
    distributed.agree("data", data.name)
    distributed.agree("numbers of reviews", sizes)
    return Sources(model=model, data=data, sizes=sizes)


def named(config: RunConfig, model_name: str) -> RunConfig:
    """Return ``config`` with the embedded classifier named where the default model gave way to it.

    The command that repeats the run must not take another model when the hub is within reach.
    """
    gave_way = config.model == "default" and model_name == "embedded"
    return config.replace(model="embedded") if gave_way else config


def _check_stand_in(config: RunConfig) -> None:
    newest = newest_record(config.output)
    if newest is not None and newest.result.setting.model_name == DEFAULT_MODEL:
        raise StandInError(
            "E-NETWORK",
            f"The last run in this folder measured {DEFAULT_MODEL}, which is not in the cache,"
            " and the Hugging Face hub cannot be reached.",
            "To measure the embedded classifier instead: --model embedded.",
        )
