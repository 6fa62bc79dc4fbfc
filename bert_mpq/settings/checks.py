"""What no run can have: every field of a ``RunConfig`` held against its type and its limits."""

import dataclasses
import typing
from typing import TYPE_CHECKING, Any, Literal

from bert_mpq.settings.bits import SUPPORTED_BITS, check_bits
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.label_words import parse_labels
from bert_mpq.settings.metrics import METRICS
from bert_mpq.settings.quantizers import GROUP_SIZES
from bert_mpq.settings.targets import EXAMPLES, parse_pin, parse_target
from bert_mpq.settings.type_hints import fits, hints_of

if TYPE_CHECKING:
    from bert_mpq.settings.config import RunConfig

LARGEST_NUMBER = 2**32 - 1


def check_config(config: "RunConfig") -> None:
    """Check a configuration by itself, whatever the machine and the data.

    Raises:
        UsageError: E-CONFIG, E-BUDGET, or what ``check_bits`` raises.
    """
    kind: Any = type(config)
    for name, hint in hints_of(kind).items():
        _check_type(name, getattr(config, name), hint)
    check_bits(config.bits)
    _check_probe_bits(config.probe_bits)
    _check_budget(config)
    if config.until_stable and config.clustering == "budget":
        raise _invalid("until-stable", "clustering budget", "it watches the groups of a clustering")
    if not config.metrics or len(set(config.metrics)) != len(config.metrics):
        raise _invalid("metrics", ",".join(config.metrics), "name each metric once, at least one")
    if config.group_size is not None and config.group_size not in GROUP_SIZES:
        raise _invalid("group-size", config.group_size, "use channel, 32, 64 or 128")
    for field in dataclasses.fields(config):
        _check_number(field.name, getattr(config, field.name), field.metadata["flag"].lowest)
    if not 0 < config.qat_learning_rate <= 1:
        raise _invalid("qat-learning-rate", config.qat_learning_rate, "use a number such as 0.0002")
    if "kl" in config.metrics and config.scope != "propagated":
        raise _invalid("metrics", "kl", "only --scope propagated has logits for each layer")
    if config.until_stable and not METRICS[config.metrics[0]].measured:
        raise _invalid("until-stable", config.metrics[0], "one short pass takes all reviews")
    for name in ("model", "data", "text_column", "label_column"):
        value = getattr(config, name)
        if value is not None and not value.strip():
            raise _invalid(name, "", "give a name" if "column" in name else "give a name or a path")
    parse_labels(config.labels)


def _check_type(name: str, value: object, hint: Any) -> None:
    if not fits(value, hint):
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        raise _invalid(name, value, f"use {', '.join(choices)}" if choices else "")


def _check_number(name: str, value: Any, lowest: int | None) -> None:
    if value is not None and lowest is not None and not lowest <= value <= LARGEST_NUMBER:
        raise _invalid(name, value, f"use a whole number from {lowest} to {LARGEST_NUMBER:,}")


def _check_probe_bits(widths: tuple[int, ...] | None) -> None:
    if widths is None:
        return
    if not widths or len(set(widths)) < len(widths) or not {*widths} <= {*SUPPORTED_BITS} - {32}:
        shown = ",".join(map(str, widths))
        raise _invalid("probe-bits", shown, "use 2, 3, 4, 6, 8 or 16, each once")


def _check_budget(config: "RunConfig") -> None:
    if config.target is not None:
        parse_target(config.target)
    pins = [parse_pin(text) for text in config.pin]
    for pattern, bits in pins:
        if bits not in SUPPORTED_BITS:
            raise UsageError("E-BITS-VALUE", f"{pattern}={bits}: use 2, 3, 4, 6, 8, 16 or 32 bits.")
    if len({pattern for pattern, _ in pins}) < len(pins):
        raise _invalid("pin", ",".join(config.pin), "pin each name once")
    if (config.clustering == "budget") != (config.target is not None):
        given, missing = "--target", "--clustering budget"
        if config.target is None:
            given, missing = missing, given
        raise UsageError("E-BUDGET", f"{given} needs {missing}.", f"A target is {EXAMPLES}.")


def _invalid(name: str, value: object, hint: str) -> UsageError:
    sentence = f"--{name.replace('_', '-')} cannot be {value!r}"
    return UsageError("E-CONFIG", f"{sentence}: {hint}." if hint else f"{sentence}.")
