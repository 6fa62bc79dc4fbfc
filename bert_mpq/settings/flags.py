"""``RunConfig`` as command-line flags, and back.

``parse(command(config)) == config`` holds for every config: the repeat line really repeats the run.
"""

import argparse
import dataclasses
import shlex
from collections.abc import Sequence

from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.flag import Flag, Subcommand
from bert_mpq.settings.metrics import COMPARED
from bert_mpq.settings.type_hints import hints_of

FLAGS: dict[str, Flag] = {
    field.name: dataclasses.replace(field.metadata["flag"], kind=kind)
    for field, kind in zip(dataclasses.fields(RunConfig), hints_of(RunConfig).values(), strict=True)
}
DEFAULTS: dict[Subcommand, RunConfig] = {
    "validate": RunConfig(metrics=COMPARED, probe_bits=(2, 3, 4, 8)),
    "plan": RunConfig(metrics=("predicted",), refine=0),  # the loss by default
}


def fields_of(subcommand: Subcommand) -> tuple[str, ...]:
    """Return the fields that ``subcommand`` takes as flags."""
    return tuple(name for name, flag in FLAGS.items() if subcommand in flag.taken_by)


def defaults_of(subcommand: Subcommand) -> RunConfig:
    """Return what ``subcommand`` does when no flag is given."""
    return DEFAULTS.get(subcommand, RunConfig())


def add_flags(parser: argparse.ArgumentParser, subcommand: Subcommand) -> None:
    """Add the flags of ``subcommand`` to ``parser``; absent flags stay absent from the namespace."""
    defaults = defaults_of(subcommand)
    for name in fields_of(subcommand):
        add_flag(parser, name, defaults)


def add_flag(parser: argparse.ArgumentParser, name: str, defaults: RunConfig) -> None:
    """Add the flag of one field to ``parser``, with its default for --help."""
    flag = FLAGS[name]
    if flag.switch:
        parser.add_argument(
            _dashed(name), action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=flag.help
        )
        return
    # Where the value is no word that a user knows, the help says what it means.
    default = "" if "(default:" in flag.help else _text(name, getattr(defaults, name))
    parser.add_argument(
        _dashed(name),
        metavar=flag.words,
        action="append" if flag.repeats else "store",
        default=argparse.SUPPRESS,
        help=f"{flag.help} (default: {default})" if default else flag.help,
    )


def config_from(namespace: argparse.Namespace, base: RunConfig) -> RunConfig:
    """Return ``base`` with the flags that were given; raises UsageError for a value that no run can have."""
    given = {
        name: flag.read(",".join(getattr(namespace, name)) if flag.repeats else getattr(namespace, name))
        for name, flag in FLAGS.items()
        if hasattr(namespace, name)
    }
    return base.replace(**given)


def command(subcommand: Subcommand, config: RunConfig) -> list[str]:
    """Return the arguments after ``bert-mpq`` that repeat this run."""
    defaults = defaults_of(subcommand)
    words: list[str] = [subcommand]
    for name in _used(subcommand, config):
        value = getattr(config, name)
        if FLAGS[name].switch:
            if value != getattr(defaults, name):
                words.append(_dashed(name if value else f"no_{name}"))
        elif value != getattr(defaults, name):
            # One word, so that a value that begins with a dash is not taken for a flag.
            words.append(f"{_dashed(name)}={_text(name, value)}")
    return words


def command_line(subcommand: Subcommand, config: RunConfig) -> str:
    """Return the shell command that repeats this run."""
    return shlex.join(["bert-mpq", *_spaced(command(subcommand, config)), "--yes"])


def relevant(subcommand: Subcommand, config: RunConfig) -> RunConfig:
    """Return ``config`` with every field that ``subcommand`` does not use at its default."""
    kept = {name: getattr(config, name) for name in _used(subcommand, config)}
    return dataclasses.replace(RunConfig(), **kept)


def _used(subcommand: Subcommand, config: RunConfig) -> list[str]:
    fields = fields_of(subcommand)
    if subcommand == "sensitivity" and not config.until_stable:
        return [name for name in fields if not FLAGS[name].only_to_stop]
    return list(fields)


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
