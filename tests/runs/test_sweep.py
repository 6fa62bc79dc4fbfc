"""The sweep on a tiny model and real reviews."""

import pytest

from bert_mpq.compute.reporting import Silent
from bert_mpq.runs import sweep
from bert_mpq.runs.compare import compare
from bert_mpq.runs.make_plan import plan_sweep
from bert_mpq.runs.presets import PRESETS
from bert_mpq.runs.session import Session
from bert_mpq.runs.sweep import markdown, written
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import UsageError
from bert_mpq.settings.metrics import title_of


@pytest.fixture(scope="module")
def swept(tmp_path_factory, small_model):
    config = RunConfig(
        model=str(small_model),
        output=str(tmp_path_factory.mktemp("sweep")),
        calibration_size=240,
        eval_size=40,
        quantizer="rtn",
        max_length=16,
    )
    return config, sweep.run(plan_sweep(config), Silent(), Session())


def test_every_preset_has_its_optimum_beside_it_at_no_larger_size(swept):
    _, result = swept
    assert len(result.rows) == 2 * len(PRESETS)
    for preset, row, best in zip(PRESETS, result.rows[::2], result.rows[1::2], strict=True):
        assert row.result.allocation.group_bits == preset.bits
        assert row.result.sensitivities.metric in preset.metrics
        assert row.metric.startswith(title_of(row.result.sensitivities.metric))
        assert best.result.allocation.method == "budget"
        assert best.result.sizes.quantized_bits <= row.result.sizes.quantized_bits


def test_the_optimum_never_has_a_larger_loss(swept):
    config, _ = swept
    (group,) = compare(config.output).groups
    for run in group.runs:
        assert run.loss_over_optimum is not None
        assert run.loss_over_optimum >= 1
        if run.clustering == "budget":
            # Its target was cut to three decimals, so a hair of slack in size is left.
            assert run.loss_over_optimum < 1.5
    assert any(run.pareto for run in group.runs)
    best = max(group.runs, key=lambda run: (run.accuracy, -run.whole_bits))
    assert best.pareto


def test_the_table_is_the_guides_with_more_columns(swept):
    config, result = swept
    lines = markdown(result).splitlines()
    assert lines[0].startswith(
        "| Config | Calib | Metric | Clusters | Bits | FP32 Acc | Quant Acc | Drop | Compression |"
    )
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "Baseline",
        "Conservative",
        "Conservative, optimum",
        "Moderate",
        "Moderate, optimum",
        "Aggressive",
        "Aggressive, optimum",
    ]
    assert len({line.count("|") for line in lines}) == 1
    assert written(result, config.output).file.read_text() == markdown(result)


def test_a_sweep_of_budgets_is_refused(swept):
    config, _ = swept
    with pytest.raises(UsageError) as refused:
        plan_sweep(config.replace(clustering="budget", target="4x"))
    assert refused.value.code == "E-CONFIG"
