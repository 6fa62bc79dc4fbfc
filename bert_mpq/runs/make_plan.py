"""From a configuration to a checked plan: the only place where settings are completed and reduced."""

from typing import TypeVar

from bert_mpq.allocation.budget import Budget, make_budget, sensitivities_of
from bert_mpq.allocation.clustering import allocate
from bert_mpq.allocation.whole_plans import best_plan
from bert_mpq.compute import distributed
from bert_mpq.compute.hardware import accelerator
from bert_mpq.records.evaluation import BitAllocation, Sensitivities
from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.records.width_scores import read_width_scores
from bert_mpq.runs.checks import check_granularity, check_groups, check_layers, check_length, check_trainable
from bert_mpq.runs.find_sources import find_sources, named
from bert_mpq.runs.plan import (
    PRESETS,
    AnalysisPlan,
    FullPlan,
    Phase,
    Plan,
    QuantizationPlan,
    Sources,
    SweepPlan,
    ValidationPlan,
)
from bert_mpq.settings import flags
from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import BUDGET_WIDTHS, RunConfig
from bert_mpq.settings.errors import MpqError, UsageError
from bert_mpq.settings.metrics import check_required
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.quantizers import FEW_BITS, QuantizerName, for_probes
from bert_mpq.sources.reviews import size_of
from bert_mpq.sources.sampling import check_size

FullRun = TypeVar("FullRun", bound=FullPlan)


def make_plan(
    config: RunConfig, phase: Phase, sources: Sources | None = None
) -> AnalysisPlan | QuantizationPlan | FullPlan:
    """Check everything that can be checked before ``phase`` starts.

    Args:
        sources: what ``find_sources`` returned, if it has been asked already.

    Raises:
        MpqError: what ``find_sources`` raises; E-DATA-SIZE, E-LAYERS, E-NOFILE, E-JSON, E-GROUPS, E-READONLY.
    """
    if phase == "sensitivity":
        return plan_analysis(config, sources)
    return plan_quantization(config, sources) if phase == "quantize" else plan_full_run(config, sources)


def plan_analysis(config: RunConfig, sources: Sources | None = None) -> AnalysisPlan:
    """Check Phase 1; raises as ``make_plan``."""
    # The widths that a budget is planned from follow from the clustering, which Phase 1 alone has no use for.
    config = config.replace(probe_bits=config.widths) if config.clustering == "budget" else config
    sources = sources or find_sources(config, "sensitivity")
    config = _settled(AnalysisPlan, config, sources)
    return AnalysisPlan(
        config=config, sources=sources, reviews={"calibration": _calibration(config, sources)}
    )


def plan_quantization(config: RunConfig, sources: Sources | None = None) -> QuantizationPlan:
    """Check Phase 2, and find its bits where that takes no evaluation; raises as ``make_plan``."""
    check_granularity(config)
    sensitivities, budget = distributed.on_first(lambda: _scores(config))
    sources = sources or find_sources(config, "quantize")
    config = _settled(QuantizationPlan, config, sources)
    evaluation, training = _evaluation(config, sources)
    check_layers(sensitivities, sources.model)
    allocation = _allocation(config, sensitivities, budget)
    return QuantizationPlan(
        config=config.replace(quantizer=_quantizer(config, allocation)),
        sources=sources,
        reviews={"evaluation": evaluation},
        training=training,
        sensitivities=sensitivities,
        allocation=allocation,
        budget=budget,
    )


def plan_full_run(config: RunConfig, sources: Sources | None = None) -> FullPlan:
    """Check both phases, as far as the second can be without scores; raises as ``make_plan``."""
    check_granularity(config)
    sources = sources or find_sources(config, "run")
    return _both(FullPlan, config, plan_analysis(config, sources))


def plan_sweep(config: RunConfig) -> SweepPlan:
    """Check a sweep: metrics, bits and target are those of its table.

    Raises:
        UsageError: E-CONFIG, the clustering is ``budget``.
        MpqError: what ``make_plan`` raises.
    """
    if config.clustering == "budget":
        raise UsageError("E-CONFIG", "A sweep sets a clustering beside budgets.", "Use --clustering kmeans.")
    sources = find_sources(config, "run")
    check_groups(max(len(preset.bits) for preset in PRESETS), sources.model.layers)
    metrics = tuple(dict.fromkeys(metric for preset in PRESETS for metric in preset.metrics))
    probed = config.replace(metrics=metrics, probe_bits=config.probe_bits or BUDGET_WIDTHS)
    return _both(SweepPlan, config, plan_analysis(probed, sources))


def plan_validation(config: RunConfig) -> ValidationPlan:
    """Check a comparison of the scores with the damage; raises as ``make_plan``."""
    sources = find_sources(config, "run")
    config = _settled(ValidationPlan, config, sources)
    config = config.replace(quantizer=for_probes(config.quantizer))
    reviews: dict[Split, int] = {"calibration": _calibration(config, sources)}
    reviews["evaluation"] = _asked(sources, "evaluation", config.eval_size)
    return ValidationPlan(config=config, sources=sources, reviews=reviews)


def budget_of(config: RunConfig) -> Budget:
    """Return the problem that ``config`` poses with the scores of its file.

    Raises:
        MpqError: E-NOFILE, E-JSON, E-SCORE, E-BUDGET.
    """
    return make_budget(config, read_width_scores(_file(config)))


def _both(kind: type[FullRun], config: RunConfig, first: AnalysisPlan) -> FullRun:
    """Return a plan of Phase 1, which is planned already, and Phase 2."""
    config = _settled(kind, config, first.sources)
    evaluation, training = _evaluation(config, first.sources)
    reviews = {**first.reviews, "evaluation": evaluation}
    return kind(config=config, sources=first.sources, reviews=reviews, training=training, first=first)


def _settled(kind: type[Plan], config: RunConfig, sources: Sources) -> RunConfig:
    """Return the settings of a run, all it knows of them; refuse those that no model or data bear."""
    config = flags.relevant(kind.command, named(config, sources.model.name))
    check_length(config, sources.model)
    if config.fit_head is not None:
        _asked(sources, "calibration", config.fit_head)
    return config


def _calibration(config: RunConfig, sources: Sources) -> int:
    """Return the reviews of Phase 1."""
    calibration = _asked(sources, "calibration", config.calibration_size)
    check_required(config.metrics, sources.model.hidden, calibration, config.rows)
    distributed.on_first(lambda: check_writable(config.output, SENSITIVITIES))
    return calibration


def _evaluation(config: RunConfig, sources: Sources) -> tuple[int, int]:
    """Return the reviews of Phase 2, and those that it trains on."""
    evaluation = _asked(sources, "evaluation", config.eval_size)
    distributed.on_first(lambda: check_writable(config.output, EVALUATION))
    if config.clustering != "budget":
        check_groups(len(config.bits), sources.model.layers)
    if not config.qat_epochs:
        return evaluation, 0
    check_trainable(config, sources.model)
    return evaluation, _asked(sources, "calibration", config.qat_reviews)


def _asked(sources: Sources, split: Split, size: int | None) -> int:
    """Return the reviews that ``size`` means (None = all of the split); raises MpqError E-DATA-SIZE."""
    known = sources.sizes.get(split)
    return check_size(size, size_of(sources.data, split) if known is None else known)


def _scores(config: RunConfig) -> tuple[Sensitivities, Budget | None]:
    """Return the scores that Phase 2 starts from, and the budget problem where there is one."""
    if config.clustering != "budget":
        return read_sensitivities(_file(config)), None
    budget = budget_of(config)
    if config.goal.kind != "drop":
        budget = best_plan(budget, config.goal).budget
    return sensitivities_of(budget.scores, config.score, user_path(_file(config)).name), budget


def _quantizer(config: RunConfig, allocation: BitAllocation | None) -> QuantizerName:
    """Return the quantizer that the plan names: with a GPU ``auto`` learns the rounding of few bits.

    Named, because a machine without a GPU would repeat the run with another one.
    """
    if config.quantizer != "auto" or allocation is None:  # a search quantizes again and again
        return config.quantizer
    device = accelerator() if config.device == "auto" else config.device
    return "learned" if device == "cuda" and min(allocation.bits) <= FEW_BITS else "auto"


def _file(config: RunConfig) -> str:
    if config.sensitivities is None:
        raise MpqError("E-NOFILE", "Phase 2 needs a sensitivity file.", "Give --sensitivities FILE.")
    return config.sensitivities


def _allocation(
    config: RunConfig, sensitivities: Sensitivities, budget: Budget | None
) -> BitAllocation | None:
    if budget is None:
        return allocate(sensitivities.values, config.bits, config.clustering, config.protect_last)
    return None if config.goal.kind == "drop" else budget.allocation(budget.best(config.goal))
