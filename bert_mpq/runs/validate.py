"""Do the scores predict the damage? One unit quantized at a time, its scores against the KL of the logits."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bert_mpq.compute.encoder import outline_of
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
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
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.scoring import spearman
from bert_mpq.sensitivity.widths import metric_values, output_errors
from bert_mpq.settings.config import RunConfig

SCOPES: tuple[Literal["propagated", "isolated"], ...] = ("propagated", "isolated")


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The result and the file it was written to."""

    result: ValidationResult
    file: Path


def run(plan: ValidationPlan, reporter: Reporter, session: Session) -> Validation:
    """Measure every score and the KL of the logits, unit by unit and width by width; compare whole plans.

    The units are encoder layers or Linear modules (``granularity``). Scores and KL come from the calibration
    reviews; plans of equal size, each the best by one score, are evaluated on the others.

    Args:
        plan: what to run; the scopes ``propagated`` and ``isolated`` are both compared.

    Raises:
        MpqError: any of its codes.
    """
    job = Job(plan=plan, reporter=reporter, session=session)
    config, clock = plan.config, job.clock
    work = job.prepare("calibration")
    check_few(job)
    calibration = job.calibration(config.widths)
    outline = outline_of(work.classifier.model)
    passes = _Passes(work=work, calibration=calibration)
    widths = tuple(passes.width(config, bits, outline, reporter) for bits in config.widths)
    clock.lap("Score units")
    compared = compare_plans(job, widths, calibration)
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
        stages=clock.stages,
    )
    folder = prepare_folder(config.output, SENSITIVITIES)
    file = write_validation(folder, result, time.strftime("%Y%m%d_%H%M%S"))
    return Validation(result=result, file=file)


@dataclass(kw_only=True)
class _Passes:
    """The passes over the reviews, and what every one needs."""

    work: Prepared
    calibration: Workload | None
    largest_batch: int = 0  # reviews
    most_tokens: int = 0  # per forward pass

    def width(self, config: RunConfig, bits: int, outline: Outline, reporter: Reporter) -> WidthValidation:
        """Measure all units at one width: two passes, one for each scope."""
        kl: tuple[float, ...] = ()
        predictors: list[Predictor] = []
        weights: tuple[float, ...] = ()
        for scope in SCOPES:
            reporter.note(f"{bits} bits, scope {scope}:")
            probe = Probe.of(config, scope=scope, bits=(bits,), granularity=config.granularity)
            measurement = self._measure(probe, reporter)
            if scope == "propagated":
                kl, weights = measurement.kl, measurement.weight_errors
            predictors += _predictors(measurement, config, scope, kl, reporter)
        depths = [unit.layer for unit in outline.units(config.granularity, tie=False)]
        earlier = tuple(float(max(depths) - depth) for depth in depths)
        for name, values in (("weight", weights), ("depth", earlier)):
            predictors.append(Predictor(name=name, scope="", values=values, spearman=spearman(values, kl)))
        return WidthValidation(bits=bits, kl=kl, predictors=tuple(predictors))

    def _measure(self, probe: Probe, reporter: Reporter) -> Measurement:
        measurement = measure(
            self.work.classifier,
            self.work,
            probe,
            reporter,
            calibration=self.calibration,
            blocks=1,
        )
        self.largest_batch = max(self.largest_batch, measurement.batches.largest)
        self.most_tokens = max(self.most_tokens, measurement.batches.budget)
        return measurement


def _predictors(
    measurement: Measurement, config: RunConfig, scope: str, kl: tuple[float, ...], reporter: Reporter
) -> list[Predictor]:
    scores = metric_values(measurement, config.metrics, reporter)
    found: list[tuple[str, tuple[float, ...]]] = [*scores.items(), ("mse", output_errors(measurement))]
    return [
        Predictor(name=name, scope=scope, values=values, spearman=spearman(values, kl))
        for name, values in found
    ]
