"""The sweep on a tiny model and real reviews."""

from types import SimpleNamespace

import pytest

from bert_mpq.compute.reporting import Silent
from bert_mpq.records.decision import decide
from bert_mpq.runs import sweep
from bert_mpq.runs.compare import compare
from bert_mpq.runs.make_plan import plan_sweep
from bert_mpq.runs.plan import PRESETS
from bert_mpq.runs.session import Session
from bert_mpq.runs.sweep import markdown
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
    done = sweep.run(plan_sweep(config), Silent(), Session())
    return config, done.sweep, done.file


def test_every_metric_of_the_table_and_the_deciding_one_has_a_row(swept):
    _, result, _ = swept
    deciding = title_of(decide(result.analysis.result).metric)
    for preset in PRESETS:
        rows = [row for row in result.rows if row.name == preset.name]
        named = {word for row in rows for word in row.metrics.split(" + ")}
        assert named == {*map(title_of, preset.metrics), deciding}
        bits = [row.result.allocation.bits for row in rows]
        assert len(set(bits)) == len(bits)
        assert all(row.result.allocation.group_bits == preset.bits for row in rows)
        assert all(title_of(row.result.sensitivities.metric) in row.metrics for row in rows)


def test_beside_every_size_stand_its_optima_and_none_is_larger(swept):
    _, result, _ = swept
    sizes: dict[str, set[float]] = {}
    for row in result.rows:
        own = row.result.sizes.bits_per_weight
        if row.result.allocation.method != "budget":
            size = own
            sizes.setdefault(row.name, set()).add(own)
        assert own <= size
    optima = [row for row in result.rows if row.result.allocation.method == "budget"]
    assert len(optima) == 2 * sum(map(len, sizes.values()))
    assert [row.result.allocation.granularity for row in optima] == ["layer", "linear"] * (len(optima) // 2)


def test_the_optimum_never_has_a_larger_loss(swept):
    config, *_ = swept
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
    _, result, file = swept
    lines = markdown(result).splitlines()
    assert lines[0].startswith(
        "| Config | Calib | Metric | Clusters | Bits | FP32 Acc | Quant Acc | Drop | Compression |"
    )
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "Baseline",
        *(row.name for row in result.rows),
    ]
    assert {row.name for row in result.rows} == {
        f"{preset.name}{optimum}"
        for preset in PRESETS
        for optimum in ("", ", optimum", ", optimum per matrix")
    }
    assert all(" ± " in line.split("|")[8] for line in lines[3:])
    assert len({line.count("|") for line in lines}) == 1
    assert file.read_text() == markdown(result)


def test_a_sweep_that_is_stopped_leaves_the_rows_that_it_has(swept, tmp_path, monkeypatch):
    config, whole, _ = swept
    results = [row.result for row in whole.rows[:2]]

    def evaluate(*_):
        if not results:
            raise KeyboardInterrupt
        return SimpleNamespace(result=results.pop(0))

    monkeypatch.setattr("bert_mpq.runs.phase_1.run", lambda *_: whole.analysis)
    monkeypatch.setattr("bert_mpq.runs.phase_2.run", evaluate)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(plan_sweep(config.replace(output=str(tmp_path))), Silent(), Session())
    (file,) = tmp_path.glob("Evaluation/sweep_*.md")
    assert file.read_text().splitlines() == markdown(whole).splitlines()[:5]


def test_a_sweep_of_budgets_is_refused(swept):
    config, *_ = swept
    with pytest.raises(UsageError) as refused:
        plan_sweep(config.replace(clustering="budget", target="4x"))
    assert refused.value.code == "E-CONFIG"
