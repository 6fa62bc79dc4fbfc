"""Do the scores predict the damage? One unit quantized at a time, its scores against the KL of the logits."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bert_mpq.allocation.losses import FLOAT16
from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.records.files import SENSITIVITIES, prepare_folder
from bert_mpq.records.outline import Outline
from bert_mpq.records.validation import Predictor, ValidationResult, WidthValidation, write_validation
from bert_mpq.runs.equal_size_plans import compare_plans
from bert_mpq.runs.job import Job
from bert_mpq.runs.label_check import check_few
from bert_mpq.runs.plan import ValidationPlan
from bert_mpq.runs.prepared import Prepared
from bert_mpq.runs.session import Session
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.plan_models import PlanModels
from bert_mpq.sensitivity.predicted import PredictedDamage, predict
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import spearman
from bert_mpq.sensitivity.twins import TWINS_TITLE, Twins
from bert_mpq.sensitivity.widths import metric_values, output_errors
from bert_mpq.settings.config import RunConfig

MEASURED = 12  # units whose damage is measured at each width, unless all are asked for
SCOPES: tuple[Literal["propagated", "isolated"], ...] = ("propagated", "isolated")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The result and the file it was written to."""

    result: ValidationResult
    file: Path


def run(plan: ValidationPlan, reporter: Reporter, session: Session) -> Validation:
    """Measure scores and the KL of the logits, unit by unit and width by width; compare whole plans.

    The units are encoder layers or Linear modules (``granularity``). The damage of all of them is predicted;
    at each width 12 are measured, spread over the predicted range, or all (``exact``). Scores and KL come
    from the calibration reviews; plans of equal size, each the best by one score, are evaluated on others.

    Args:
        plan: what to run; the scopes ``propagated`` and ``isolated`` are both compared.

    Raises:
        MpqError: any of its codes.
    """
    job = Job(plan=plan, reporter=reporter, session=session, clock=session.clock)
    config, clock = plan.config, job.clock
    work = job.prepare("calibration")
    check_few(job)
    model, outline = work.classifier.model, outline_of(work.classifier.model)
    twins = Twins.of(model, _probe_of_plans(config), job.calibration(config.widths), reporter)
    clock.lap(TWINS_TITLE)
    predicted = predict(model, work, Probe.of(config), reporter, twins=lambda: twins)
    passes = _Passes(work=work, twins=twins, predicted=predicted)
    widths = tuple(passes.width(config, bits, outline, reporter) for bits in config.widths)
    clock.lap("Score units")
    compared = compare_plans(job, widths, PlanModels(twins))
    clock.lap("Compare plans")
    result = ValidationResult(
        config=config,
        setting=work.setting(plan, passes.most_tokens),
        sample=work.sample(passes.largest_batch),
        evaluation=compared.sample,
        accuracy=compared.accuracy,
        units=tuple(unit.name for unit in outline.units(config.granularity, tie=False)),
        widths=widths,
        plans=compared.plans,
        stages=clock.take(),
    )
    folder = prepare_folder(config.output, SENSITIVITIES)
    file = write_validation(folder, result, time.strftime("%Y%m%d_%H%M%S"))
    return Validation(result=result, file=file)


def _probe_of_plans(config: RunConfig) -> Probe:
    """Return the probe of whole layers at every width that a plan may have: float16 is one of them."""
    return Probe.of(config, bits=tuple(dict.fromkeys((*config.widths, FLOAT16))))


@dataclass(kw_only=True)
class _Passes:
    """The passes over the reviews, and what every one needs."""

    work: Prepared
    twins: Twins
    predicted: PredictedDamage
    largest_batch: int = 0  # reviews
    most_tokens: int = 0  # per forward pass

    def width(self, config: RunConfig, bits: int, outline: Outline, reporter: Reporter) -> WidthValidation:
        """Predict the damage of all units at one width, and measure that of some or all: a pass per scope."""
        losses = self.predicted.losses(config.granularity)[:, config.widths.index(bits)].tolist()
        chosen = range(len(losses)) if config.exact else spread(losses, MEASURED)

        def in_place(values: Sequence[float]) -> tuple[float, ...]:
            by_unit = dict(zip(chosen, values, strict=True))
            return tuple(by_unit.get(unit, math.nan) for unit in range(len(losses)))

        found: list[tuple[str, str, tuple[float, ...]]] = [("predicted", "", tuple(losses))]
        kl = weights = tuple[float, ...]()
        for scope in SCOPES:
            reporter.note(f"{bits} bits, scope {scope}:")
            probe = Probe.of(config, scope=scope, bits=(bits,), granularity=config.granularity)
            measurement = self._measure(replace(probe, chosen=frozenset(chosen)), reporter)
            if scope == "propagated":
                kl, weights = in_place(measurement.kl), in_place(measurement.weight_errors)
            scores = metric_values(measurement, config.metrics, reporter)
            found += [(name, scope, in_place(values)) for name, values in scores.items()]
            found.append(("mse", scope, in_place(output_errors(measurement))))
        depths = [unit.layer for unit in outline.units(config.granularity, tie=False)]
        found += [("weight", "", weights), ("depth", "", tuple(float(max(depths) - each) for each in depths))]
        predictors = tuple(
            Predictor(name=name, scope=scope, values=values, spearman=_spearman(values, kl))
            for name, scope, values in found
        )
        return WidthValidation(bits=bits, kl=kl, predictors=predictors)

    def _measure(self, probe: Probe, reporter: Reporter) -> Measurement:
        measurement = measure(
            self.work.classifier,
            self.work,
            probe,
            reporter,
            blocks=1,
            twins=lambda: self.twins,
        )
        self.largest_batch = max(self.largest_batch, measurement.batches.largest)
        self.most_tokens = max(self.most_tokens, measurement.batches.budget)
        return measurement


def spread(losses: Sequence[float], most: int) -> list[int]:
    """Return the places of at most ``most`` losses, evenly spaced in their order, both ends among them."""
    order = sorted(range(len(losses)), key=losses.__getitem__)
    count = min(most, len(order))
    return sorted({order[round(rank)] for rank in np.linspace(0, len(order) - 1, count)})


def _spearman(values: tuple[float, ...], kl: tuple[float, ...]) -> float | None:
    """Return the rank correlation over the units that were measured."""
    pairs = [(value, truth) for value, truth in zip(values, kl, strict=True) if not math.isnan(truth)]
    return spearman([value for value, _ in pairs], [truth for _, truth in pairs])
