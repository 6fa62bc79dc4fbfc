import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bert_mpq.settings.bits import check_bits, parse_bits
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.config_json import from_json, to_json
from bert_mpq.settings.errors import ERROR_CODES, MpqError, UsageError


@pytest.mark.parametrize("text", ["16,8,4", " 16, 8 ,4 ", "[16,8,4]", "(16, 8, 4)", "16/8/4", "16,8,4,"])
def test_bits_are_read_however_people_write_them(text):
    assert parse_bits(text) == (16, 8, 4)


def test_equal_neighbours_are_in_order():
    assert parse_bits("8,8,4") == (8, 8, 4)


@pytest.mark.parametrize("text", ["4.5", "a", "16,,4", "-4", "1e1", "٣", "\uff14", "²", "0x8"])
def test_bits_that_are_no_whole_number_are_refused(text):
    with pytest.raises(UsageError, match="is not a whole number") as refused:
        parse_bits(text)
    assert refused.value.code == "E-BITS-INT"


@pytest.mark.parametrize("text", ["", ",", "[]"])
def test_no_bits_at_all_is_no_whole_number_either(text):
    with pytest.raises(UsageError) as refused:
        parse_bits(text)
    assert refused.value.code == "E-BITS-INT"


@pytest.mark.parametrize("text", ["5", "16,8,5", "64", "1", "0"])
def test_unsupported_bits_are_refused_with_the_list_of_supported_ones(text):
    with pytest.raises(UsageError, match="not supported; use 2, 3, 4, 6, 8, 16 or 32") as refused:
        parse_bits(text)
    assert refused.value.code == "E-BITS-VALUE"


def test_rising_bits_are_refused_with_the_right_order():
    with pytest.raises(UsageError) as refused:
        parse_bits("2,4,8")
    assert refused.value.code == "E-BITS-ORDER"
    assert refused.value.title == "2,4,8 rises; the most sensitive group comes first, so 8,4,2."


@pytest.mark.parametrize(("bits", "groups"), [((16, 8), 3), ((16, 8, 4), 2), ((), 3)])
def test_the_number_of_bits_must_be_the_number_of_groups(bits, groups):
    with pytest.raises(UsageError) as refused:
        check_bits(bits, groups)
    assert refused.value.code == "E-BITS-COUNT"
    assert refused.value.title == f"{groups} groups need {groups} numbers, you gave {len(bits)}."


@given(st.text() | st.text(alphabet="0123468,/[] -."))
@example("9" * 5000)
@example("16,8,4")
def test_any_text_gives_supported_bits_or_a_usage_error(text):
    try:
        bits = parse_bits(text)
    except UsageError:
        return
    check_bits(bits, len(bits))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ""},
        {"model": "  "},
        {"model": 3},
        {"data": ""},
        {"data": None},
        {"device": "tpu"},
        {"output": None},
        {"calibration_size": 0},
        {"calibration_size": True},
        {"calibration_size": 1000.0},
        {"sampling": "first"},
        {"metrics": ()},
        {"metrics": ("pwcca", "pwcca")},
        {"metrics": ("rmse",)},
        {"metrics": ["pwcca"]},
        {"metrics": "pwcca"},
        {"probe_bits": (5,)},
        {"probe_bits": (32,)},
        {"probe_bits": "4"},
        {"probe_bits": ()},
        {"probe_bits": (4, 4)},
        {"scope": "local"},
        {"pooling": "max"},
        {"sensitivities": 1},
        {"eval_size": -1},
        {"clustering": "dbscan"},
        {"bits": (16.0, 8.0)},
        {"bits": (True,)},
        {"quantizer": "gptq-2"},
        {"group_size": 48},
        {"group_size": 0},
        {"protect_last": -1},
        {"protect_last": None},
        {"max_length": 7},
        {"batch_tokens": 0},
        {"seed": True},
        {"seed": 4.2},
        {"seed": math.nan},
    ],
    ids=str,
)
def test_a_value_that_no_run_can_have_is_refused_by_its_flag(changes):
    (field,) = changes
    with pytest.raises(UsageError) as refused:
        RunConfig(**changes)
    assert refused.value.code == "E-CONFIG"
    assert refused.value.title.startswith(f"--{field.replace('_', '-')} cannot be ")


@pytest.mark.parametrize(("bits", "code"), [((5,), "E-BITS-VALUE"), ((4, 8), "E-BITS-ORDER")])
def test_bits_of_a_config_are_checked_as_typed_ones_are(bits, code):
    with pytest.raises(UsageError) as refused:
        RunConfig(bits=bits)
    assert refused.value.code == code


@pytest.mark.parametrize("scope", ["isolated", "cumulative"])
def test_only_the_propagated_scope_has_a_kl_for_each_layer(scope):
    with pytest.raises(UsageError, match="only --scope propagated has logits") as refused:
        RunConfig(metrics=("cka", "kl"), scope=scope)
    assert refused.value.code == "E-CONFIG"


def test_a_seed_that_no_random_generator_takes_is_refused():
    with pytest.raises(UsageError):
        RunConfig(seed=-1)


def test_replace_checks_the_new_value():
    with pytest.raises(UsageError):
        RunConfig().replace(probe_bits=(7,))


def test_absent_json_keys_keep_their_defaults():
    assert from_json({"bits": [8, 4]}) == RunConfig(bits=(8, 4))


@pytest.mark.parametrize("values", [[], "run", None, 3])
def test_a_configuration_must_be_an_object(values):
    with pytest.raises(MpqError, match="not a JSON object") as refused:
        from_json(values)
    assert refused.value.code == "E-CONFIG"


def test_an_unknown_key_is_named():
    with pytest.raises(MpqError, match='"bit" is no setting of a run') as refused:
        from_json({"seed": 1, "bit": [16, 8]})
    assert refused.value.code == "E-CONFIG"


@pytest.mark.parametrize(
    "values",
    [{"seed": True}, {"scope": ["propagated"]}, {"metrics": [["cka"]]}, {"bits": [8.0]}, {"model": None}],
    ids=str,
)
def test_json_of_the_wrong_type_is_refused(values):
    with pytest.raises(UsageError) as refused:
        from_json(values)
    assert refused.value.code == "E-CONFIG"


def test_json_holds_one_plain_value_per_field():
    values = to_json(RunConfig())
    assert values["bits"] == [16, 8, 4]
    assert all(isinstance(value, str | int | float | list | None) for value in values.values())


def test_a_usage_error_ends_with_exit_code_2_and_any_other_with_1():
    assert (UsageError.exit_code, MpqError.exit_code) == (2, 1)


def test_error_codes_are_sorted_and_unique():
    assert list(ERROR_CODES) == sorted(set(ERROR_CODES))


def test_one_probe_width_may_stand_without_brackets_in_a_file():
    assert from_json({"probe_bits": 8}) == RunConfig(probe_bits=(8,))


def test_a_budget_probes_several_widths_unless_told_otherwise():
    assert RunConfig().widths == (4,)
    assert RunConfig(clustering="budget", target="4x").widths == (4, 2, 3, 8)
    assert RunConfig(clustering="budget", target="4x", probe_bits=(8, 2)).widths == (8, 2)


def test_a_budget_without_a_target_is_refused():
    with pytest.raises(UsageError, match="needs --target") as refused:
        RunConfig(clustering="budget")
    assert refused.value.code == "E-BUDGET"


def test_a_budget_has_no_groups_that_could_be_stable():
    with pytest.raises(UsageError, match="--until-stable"):
        RunConfig(until_stable=True, clustering="budget", target="4x")


def test_a_prediction_of_one_short_pass_needs_no_stopping():
    with pytest.raises(UsageError, match="--until-stable cannot be 'predicted'"):
        RunConfig(until_stable=True, metrics=("predicted", "cka"))
    assert RunConfig(until_stable=True, metrics=("cka", "predicted")).predicts


@pytest.mark.parametrize(
    ("settings", "measured", "predicts"),
    [
        ({}, (4,), False),
        ({"metrics": ("predicted",)}, (), True),
        ({"metrics": ("predicted",), "probe_bits": (4, 2)}, (), True),
        ({"metrics": ("cka", "predicted")}, (4,), True),
        ({"probe_bits": (4, 2)}, (4,), True),  # a budget goes by the predicted damage
        ({"probe_bits": (4, 2), "score": "cka"}, (4, 2), True),
        ({"probe_bits": (2,), "score": "kl"}, (2,), False),
    ],
)
def test_what_phase_1_measures_and_what_it_predicts(settings, measured, predicts):
    config = RunConfig(**settings)
    assert (config.measured_widths, config.predicts) == (measured, predicts)
