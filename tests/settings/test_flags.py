import argparse
import dataclasses
import json
import shlex
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_mpq.settings import flags
from bert_mpq.settings.bits import SUPPORTED_BITS
from bert_mpq.settings.choices import Clustering, Device, Granularity, Pooling, Sampling, Scope
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json, to_json
from bert_mpq.settings.embeddings import EmbeddingChoice
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.flag import Subcommand
from bert_mpq.settings.metrics import Metric
from bert_mpq.settings.quantizers import GROUP_SIZES, QuantizerName

SUBCOMMANDS = ("sensitivity", "quantize", "run", "validate")


def one_of(kind):
    return st.sampled_from(typing.get_args(kind))


# argparse drops a value that is just "--".
names = st.text(min_size=1).filter(lambda name: name.strip() and name != "--")
sizes = st.none() | st.integers(1, 2**32 - 1)
tokens = st.none() | st.integers(8, 10**6)
fields = st.fixed_dictionaries(
    {
        "model": names,
        "data": names,
        "device": one_of(Device),
        "fit_head": st.none() | st.integers(10, 2**32 - 1),
        "output": names | st.just(""),
        "calibration_size": sizes,
        "sampling": one_of(Sampling),
        "metrics": st.lists(one_of(Metric), min_size=1, unique=True).map(tuple),
        "probe_bits": st.none()
        | st.lists(st.sampled_from(SUPPORTED_BITS[:-1]), min_size=1, unique=True).map(tuple),
        "scope": one_of(Scope),
        "pooling": one_of(Pooling),
        "until_stable": st.booleans(),
        "granularity": one_of(Granularity),
        "tie": st.booleans(),
        "refine": st.none() | st.integers(0, 99),
        "exact": st.booleans(),
        "sensitivities": st.none() | names,
        "eval_size": sizes,
        "clustering": one_of(Clustering),
        "bits": st.lists(st.sampled_from(SUPPORTED_BITS), min_size=1, max_size=6).map(
            lambda bits: tuple(sorted(bits, reverse=True))
        ),
        "target": st.builds(
            lambda value, unit: f"{value}{unit}",
            st.integers(1, 10**6),
            st.sampled_from(("x", "MB", "bits", "pp")),
        ),
        "score": one_of(Metric),
        "pin": st.dictionaries(
            st.from_regex(r"(layer_[0-9]{1,2}|\*\.[a-z.]{1,9}|layer_\?\.\*)", fullmatch=True),
            st.sampled_from(SUPPORTED_BITS),
            max_size=4,
        ).map(lambda pins: tuple(f"{name}={bits}" for name, bits in pins.items())),
        "max_widths": st.none() | st.integers(1, 7),
        "quantizer": one_of(QuantizerName),
        "group_size": st.none() | st.sampled_from(GROUP_SIZES),
        "gptq_reviews": st.none() | st.integers(1, 100_000),
        "embeddings": one_of(EmbeddingChoice),
        "protect_last": st.integers(0, 100),
        "qat_epochs": st.integers(0, 100),
        "qat_reviews": st.none() | st.integers(20, 2**32 - 1),
        "qat_learning_rate": st.floats(0, 1, exclude_min=True),
        "max_length": tokens,
        "batch_tokens": tokens,
        "seed": st.integers(0, 2**32 - 1),
    }
)
configs = fields.filter(lambda given: "kl" not in given["metrics"] or given["scope"] == "propagated").map(
    lambda given: RunConfig(
        **{
            **given,
            "target": given["target"] if given["clustering"] == "budget" else None,
            "until_stable": given["until_stable"]
            and given["clustering"] != "budget"
            and given["metrics"][0] != "predicted",
        }
    )
)


def parse(words):
    """Read the words after ``bert-mpq`` as the command line does."""
    subcommand, *rest = words
    parser = argparse.ArgumentParser()
    flags.add_flags(parser, subcommand)
    parser.add_argument("--yes", action="store_true")
    return flags.config_from(parser.parse_args(rest), flags.defaults_of(subcommand))


@given(st.sampled_from(SUBCOMMANDS), configs)
def test_the_repeat_command_repeats_the_run(subcommand, config):
    assert parse(flags.command(subcommand, config)) == flags.relevant(subcommand, config)


@given(st.sampled_from(SUBCOMMANDS), configs)
def test_the_shell_line_repeats_the_run(subcommand, config):
    program, *words = shlex.split(flags.command_line(subcommand, config))
    assert program == "bert-mpq"
    assert parse(words) == flags.relevant(subcommand, config)


@given(configs)
def test_a_config_survives_json(config):
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


@given(st.sampled_from(SUBCOMMANDS), configs)
def test_fields_that_a_subcommand_does_not_take_are_at_their_defaults(subcommand, config):
    relevant, taken = flags.relevant(subcommand, config), set(flags.fields_of(subcommand))
    if subcommand == "sensitivity" and not config.until_stable:
        taken -= {"clustering", "bits", "protect_last"}
    for field in dataclasses.fields(RunConfig):
        source = config if field.name in taken else RunConfig()
        assert getattr(relevant, field.name) == getattr(source, field.name)


def test_every_field_has_a_flag_of_its_name():
    assert list(flags.FLAGS) == [field.name for field in dataclasses.fields(RunConfig)]


def test_a_command_takes_the_fields_of_the_phases_it_runs_and_no_others():
    for name, flag in flags.FLAGS.items():
        assert flag.taken_by, name
        assert set(flag.taken_by) <= set(typing.get_args(Subcommand)), name
        runs = "run" in flag.taken_by
        assert runs == (name not in ("sensitivities", "exact"))
        if flag.phase == 1:
            assert runs, name
            assert "quantize" not in flag.taken_by, name
    stopping = {name for name, flag in flags.FLAGS.items() if flag.only_to_stop}
    assert stopping == {"clustering", "bits", "protect_last"}


def test_each_phase_leaves_the_fields_of_the_other_out():
    assert "eval_size" not in flags.fields_of("sensitivity")
    assert "metrics" not in flags.fields_of("quantize")
    assert set(flags.FLAGS) - set(flags.fields_of("run")) == {"sensitivities", "exact"}


def test_phase_1_has_an_allocation_only_where_it_may_stop_early():
    config = RunConfig(bits=(8, 4), clustering="percentile", protect_last=1)
    assert flags.relevant("sensitivity", config) == RunConfig()
    stopping = config.replace(until_stable=True)
    assert flags.relevant("sensitivity", stopping) == stopping
    assert flags.relevant("quantize", stopping) == config


def test_the_words_of_a_flag_name_its_phase():
    assert flags.FLAGS["metrics"].help.startswith("Phase 1: comma-separated")
    assert flags.FLAGS["target"].help == "Phase 2: what a budget asks for"
    assert flags.FLAGS["protect_last"].help.endswith("16 bits or more (in Phase 1: for --until-stable)")
    assert flags.FLAGS["seed"].help == "random seed"


def test_a_switch_of_a_file_can_be_taken_back():
    parser = argparse.ArgumentParser()
    flags.add_flags(parser, "sensitivity")
    given = parser.parse_args(["--no-until-stable"])
    assert not flags.config_from(given, RunConfig(until_stable=True)).until_stable


def test_the_defaults_need_no_flags():
    assert flags.command("run", RunConfig()) == ["run"]


def test_a_path_that_begins_with_a_dash_is_no_flag():
    assert parse(flags.command("run", RunConfig(output="-x"))).output == "-x"


def test_the_shell_line_is_what_people_would_type():
    config = RunConfig(model="embedded", calibration_size=1000, bits=(32, 16, 8, 4), group_size=None)
    assert flags.command_line("run", config) == (
        "bert-mpq run --model embedded --calibration-size 1000 --bits 32,16,8,4 --group-size channel --yes"
    )


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--calibration-size", "1,000"], "calibration_size", 1000),
        (["--calibration-size", "1_000"], "calibration_size", 1000),
        (["--eval-size", "all"], "eval_size", None),
        (["--group-size", "channel"], "group_size", None),
        (["--max-length", "auto"], "max_length", None),
        (["--metrics", "CKA, PWCCA"], "metrics", ("cka", "pwcca")),
        (["--bits", "[16/8/4]"], "bits", (16, 8, 4)),
        (["--probe-bits", "4"], "probe_bits", (4,)),
        (["--probe-bits", "2,3, 4,8"], "probe_bits", (2, 3, 4, 8)),
        (["--probe-bits", "auto"], "probe_bits", None),
        (["--pin", "layer_5=16", "--pin", "layer_0=8"], "pin", ("layer_5=16", "layer_0=8")),
        (["--pin", "layer_5=16,layer_0=8"], "pin", ("layer_5=16", "layer_0=8")),
        (["--max-widths", "any"], "max_widths", None),
        (["--target", "none"], "target", None),
        (["--device", "CPU"], "device", "cpu"),
        (["--qat-learning-rate", "1e-3"], "qat_learning_rate", 0.001),
    ],
)
def test_flags_are_read_as_people_write_them(words, field, value):
    assert getattr(parse(["run", *words]), field) == value


def test_a_flag_changes_its_own_field_only():
    base = RunConfig(model="embedded", seed=1)
    namespace = argparse.Namespace(seed="2")
    assert flags.config_from(namespace, base) == base.replace(seed=2)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--device", "tpu"], "E-CONFIG"),
        (["--seed", "-1"], "E-CONFIG"),
        (["--seed", "٣"], "E-CONFIG"),
        (["--seed", "4.2"], "E-CONFIG"),
        (["--seed", "9" * 5000], "E-CONFIG"),
        (["--probe-bits", "all"], "E-CONFIG"),
        (["--calibration-size", ""], "E-CONFIG"),
        (["--calibration-size", ","], "E-CONFIG"),
        (["--metrics", ","], "E-CONFIG"),
        (["--metrics", "rmse"], "E-CONFIG"),
        (["--bits", "4.5"], "E-BITS-INT"),
        (["--bits", "5"], "E-BITS-VALUE"),
        (["--bits", "4,8"], "E-BITS-ORDER"),
        (["--probe-bits", "4,4"], "E-CONFIG"),
        (["--probe-bits", "32"], "E-CONFIG"),
        (["--clustering", "budget"], "E-BUDGET"),
        (["--target", "4x"], "E-BUDGET"),
        (["--clustering", "budget", "--target", "small"], "E-BUDGET"),
        (["--pin", "5=16"], "E-BUDGET"),
        (["--pin", "layer_5=5"], "E-BITS-VALUE"),
        (["--pin", "layer_5=8", "--pin", "layer_5=4"], "E-CONFIG"),
        (["--max-widths", "0"], "E-CONFIG"),
    ],
)
def test_a_bad_flag_is_a_usage_error(words, code):
    with pytest.raises(UsageError) as refused:
        parse(["run", *words])
    assert refused.value.code == code


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_the_help_shows_every_flag_of_a_subcommand(subcommand):
    parser = argparse.ArgumentParser()
    flags.add_flags(parser, subcommand)
    text = parser.format_help()
    for name in flags.fields_of(subcommand):
        assert f"--{name.replace('_', '-')} {flags.FLAGS[name].words}" in text


def test_the_help_shows_the_defaults():
    parser = argparse.ArgumentParser()
    flags.add_flags(parser, "run")
    assert "(default: 16,8,4)" in parser.format_help()
