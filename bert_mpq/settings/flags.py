"""``RunConfig`` as command-line flags, and back.

``parse(command(config)) == config`` holds for every config: the repeat line really repeats the run.
"""

import argparse
import dataclasses
import shlex
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bert_mpq.settings.bits import parse_bits as read_bits
from bert_mpq.settings.choices import (
    Clustering,
    Device,
    EmbeddingPrecision,
    Granularity,
    Pooling,
    Precision,
    Sampling,
    Scope,
)
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.metrics import COMPARED, Metric
from bert_mpq.settings.quantizers import QuantizerName


@dataclass(frozen=True, kw_only=True)
class Flag:
    """How one field of ``RunConfig`` is written on the command line."""

    read: Callable[[str], Any]
    shown: str
    help: str
    none: str = ""  # the word for None
    repeats: bool = False  # may be given several times; comma-separated values say the same
    switch: bool = False  # given without a value; --no-... takes it back


def _choice(kind: Any, text: str) -> Flag:
    choices = typing.get_args(kind)

    def read(value: str) -> str:
        if value not in choices:
            raise UsageError("E-CONFIG", f'"{value}" is not one of {", ".join(choices)}.')
        return value

    return Flag(read=read, shown="|".join(choices), help=text)


def read_number(text: str) -> int:
    """Read a whole number as people write it: 5000, 5,000 or 5_000.

    Raises:
        UsageError: E-CONFIG.
    """
    digits = text.strip().replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        shown = text.strip() if len(text) < 40 else f"{text.strip()[:37]}..."
        raise UsageError("E-CONFIG", f'"{shown}" is not a whole number.')
    return int(digits)


def _number(shown: str, text: str, none: str = "") -> Flag:
    def read(value: str) -> int | None:
        return None if none and value == none else read_number(value)

    return Flag(read=read, shown=shown, help=text, none=none)


def _decimal(shown: str, text: str) -> Flag:
    def read(value: str) -> float:
        try:
            return float(value)
        except ValueError as error:
            raise UsageError("E-CONFIG", f'"{value[:40]}" is not a number.') from error

    return Flag(read=read, shown=shown, help=text)


def _switch(text: str) -> Flag:
    return Flag(read=bool, shown="", help=text, switch=True)


def _words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.lower().split(",") if word.strip())


def _widths(value: str) -> tuple[int, ...] | None:
    return None if value == "auto" else tuple(read_number(word) for word in value.split(","))


def _pins(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


FLAGS: dict[str, Flag] = {
    "model": Flag(read=str, shown="ID|PATH|embedded", help="classifier: hub id, folder, or the embedded one"),
    "data": Flag(read=str, shown="imdb|PATH", help="reviews: IMDB, or a local file with text and label"),
    "device": _choice(Device, "where the model runs"),
    "precision": _choice(Precision, "arithmetic of the forward passes"),
    "fit_head": _number("N|off", "fit the classification head on N calibration reviews", "off"),
    "output": Flag(read=str, shown="DIR", help="folder of Sensitivities/ and Evaluation/"),
    "calibration_size": _number("N|all", "Phase 1: calibration reviews", "all"),
    "sampling": _choice(Sampling, "how reviews are drawn"),
    "metrics": Flag(
        read=_words,
        shown=",".join(typing.get_args(Metric)),
        help="Phase 1: comma-separated; the first one with enough reviews decides the bits of a full run",
    ),
    "probe_bits": Flag(
        read=_widths,
        shown="4|2,3,4,8",
        help="Phase 1: bits of the fake-quantized layer, or several widths for a budget",
        none="auto",
    ),
    "scope": _choice(
        Scope, "Phase 1: compare after the last layer, after the layer itself, or all quantized"
    ),
    "pooling": _choice(
        Pooling, "Phase 1: rows to compare: mean over tokens, the first token, or every token (none)"
    ),
    "until_stable": _switch(
        "Phase 1: stop once more reviews would not change the bit allocation (95 %% sure)"
    ),
    "granularity": _choice(Granularity, "validate: what is quantized at a time"),
    "sensitivities": Flag(read=str, shown="FILE", help="Phase 2: sensitivity file of Phase 1"),
    "eval_size": _number("N|all", "Phase 2: evaluation reviews", "all"),
    "clustering": _choice(
        Clustering,
        "how layers are grouped by score, or the best bits for a target (in Phase 1: for --until-stable)",
    ),
    "bits": Flag(
        read=read_bits,
        shown="16,8,4",
        help="bits per group, most sensitive group first (in Phase 1: for --until-stable)",
    ),
    "target": Flag(
        read=str, shown="1.5x|50MB|4.5bits|0.5pp", help="Phase 2: what a budget asks for", none="none"
    ),
    "score": _choice(Metric, "Phase 2: the loss that a budget minimises"),
    "pin": Flag(
        read=_pins,
        shown="layer_11=16",
        help="Phase 2: keep a layer at a width; may be repeated",
        repeats=True,
    ),
    "max_widths": _number("N|any", "Phase 2: most distinct widths of a budget", "any"),
    "quantizer": _choice(QuantizerName, "weight quantizer"),
    "group_size": _number("channel|32|64|128", "weights that share one scale", "channel"),
    "gptq_reviews": _number("N", "calibration reviews that GPTQ looks at"),
    "embeddings": _choice(EmbeddingPrecision, "Phase 2: precision of the embedding tables"),
    "protect_last": _number(
        "N", "keep the last N layers at 16 bits or more (in Phase 1: for --until-stable)"
    ),
    "qat_epochs": _number("N", "Phase 2: epochs of quantization-aware training afterwards, 1 to 3"),
    "qat_reviews": _number("N|all", "Phase 2: calibration reviews for that training", "all"),
    "qat_learning_rate": _decimal("X", "Phase 2: its peak learning rate"),
    "max_length": _number("N", "tokens per review", "auto"),
    "batch_tokens": _number("N", "tokens per forward pass", "auto"),
    "seed": _number("N", "random seed"),
}
BUDGET = ("target", "score", "pin", "max_widths")
TRAINING = ("qat_epochs", "qat_reviews", "qat_learning_rate")
PHASE_2 = (
    "sensitivities",
    "eval_size",
    *BUDGET,
    "embeddings",
    *TRAINING,
)
PHASE_1 = ("calibration_size", "metrics", "probe_bits", "scope", "pooling", "until_stable")
ALLOCATION = ("clustering", "bits", "protect_last")  # Phase 2's, and what --until-stable watches in Phase 1


def fields_of(subcommand: str) -> tuple[str, ...]:
    """Return the fields that ``subcommand`` takes as flags."""
    other = {
        "sensitivity": (*PHASE_2, "granularity"),
        "quantize": (*PHASE_1, "granularity"),
        "run": ("sensitivities", "granularity"),
        "plan": ("clustering", "bits", "granularity", "until_stable", *TRAINING),
        "sweep": ("metrics", "until_stable", "sensitivities", "bits", "target", "granularity"),
        "validate": (*(set(PHASE_2 + ALLOCATION) - {"eval_size"}), "scope", "until_stable"),
    }[subcommand]
    return tuple(name for name in FLAGS if name not in other)


def defaults_of(subcommand: str) -> RunConfig:
    """Return what ``subcommand`` does when no flag is given."""
    if subcommand == "validate":
        return RunConfig(metrics=COMPARED, probe_bits=(2, 3, 4, 8))
    if subcommand == "plan":
        return RunConfig(metrics=("kl",))  # the loss by default; it needs few reviews
    return RunConfig()


def add_flags(parser: argparse.ArgumentParser, subcommand: str) -> None:
    """Add the flags of ``subcommand`` to ``parser``; absent flags stay absent from the namespace."""
    defaults = defaults_of(subcommand)
    for name in fields_of(subcommand):
        if FLAGS[name].switch:
            parser.add_argument(
                _dashed(name),
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=FLAGS[name].help,
            )
            continue
        default = _text(name, getattr(defaults, name))
        parser.add_argument(
            _dashed(name),
            metavar=FLAGS[name].shown,
            action="append" if FLAGS[name].repeats else "store",
            default=argparse.SUPPRESS,
            help=f"{FLAGS[name].help} (default: {default})" if default else FLAGS[name].help,
        )


def config_from(namespace: argparse.Namespace, base: RunConfig) -> RunConfig:
    """Return ``base`` with the flags that were given.

    Raises:
        UsageError: a value that no run can have.
    """
    given = {
        name: flag.read(",".join(getattr(namespace, name)) if flag.repeats else getattr(namespace, name))
        for name, flag in FLAGS.items()
        if hasattr(namespace, name)
    }
    return base.replace(**given)


def command(subcommand: str, config: RunConfig) -> list[str]:
    """Return the arguments after ``bert-mpq`` that repeat this run."""
    defaults = defaults_of(subcommand)
    words = [subcommand]
    for name in _used(subcommand, config):
        value = getattr(config, name)
        if FLAGS[name].switch:
            words += [_dashed(name)] if value else []
        elif value != getattr(defaults, name):
            # One word, so that a value that begins with a dash is not taken for a flag.
            words.append(f"{_dashed(name)}={_text(name, value)}")
    return words


def command_line(subcommand: str, config: RunConfig) -> str:
    """Return the shell command that repeats this run."""
    return shlex.join(["bert-mpq", *_spaced(command(subcommand, config)), "--yes"])


def relevant(subcommand: str, config: RunConfig) -> RunConfig:
    """Return ``config`` with every field that ``subcommand`` does not use at its default."""
    kept = {name: getattr(config, name) for name in _used(subcommand, config)}
    return dataclasses.replace(RunConfig(), **kept)


def _used(subcommand: str, config: RunConfig) -> list[str]:
    unused = ALLOCATION if subcommand == "sensitivity" and not config.until_stable else ()
    return [name for name in fields_of(subcommand) if name not in unused]


def _spaced(words: Sequence[str]) -> list[str]:
    spaced = []
    for word in words:
        flag, equals, value = word.partition("=")
        spaced += [flag, value] if equals and value and not value.startswith("-") else [word]
    return spaced


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(name: str, value: object) -> str:
    if value is None:
        return FLAGS[name].none
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
