"""A run decided and checked before anything heavy is loaded or anything is written."""

from dataclasses import dataclass
from typing import Literal

from bert_mpq.allocation.budget import Budget, make_budget, sensitivities_of
from bert_mpq.allocation.clustering import allocate
from bert_mpq.compute import distributed
from bert_mpq.records.evaluation import BitAllocation, Sensitivities
from bert_mpq.records.files import EVALUATION, SENSITIVITIES, check_writable
from bert_mpq.records.sensitivity_file import read_sensitivities
from bert_mpq.records.width_scores import read_width_scores
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.metrics import check_required
from bert_mpq.settings.paths import user_path
from bert_mpq.settings.quantizers import is_symmetric
from bert_mpq.sources.classifiers import ModelSource, find_classifier
from bert_mpq.sources.halves import Split
from bert_mpq.sources.reviews import DataSource, find_reviews, known_size, load_reviews

Phase = Literal["sensitivity", "quantize", "run"]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Model and data that a configuration means here and now."""

    model: ModelSource
    data: DataSource
    calibration_size: int
    evaluation_size: int

    @property
    def data_word(self) -> str:
        """The data in file names."""
        return "IMDB" if self.data.kind != "file" or self.data.path is None else self.data.path.stem

    def size(self, split: Split) -> int:
        """Return how many reviews a split has."""
        return self.calibration_size if split == "calibration" else self.evaluation_size


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked run.

    Args:
        config: the run.
        phase: what is run.
        sources: model and data.
        calibration: calibration reviews (0 when Phase 1 is not run).
        evaluation: evaluation reviews (0 when Phase 2 is not run).
        sensitivities: the file Phase 2 starts from; None when Phase 1 will write it.
        allocation: the bits that follow from it; None when they are yet to be found by evaluating.
        budget: the problem that a budget poses; None for a clustering.
        training: calibration reviews of the quantization-aware training (0 when there is none).
    """

    config: RunConfig
    phase: Phase
    sources: Sources
    calibration: int
    evaluation: int
    sensitivities: Sensitivities | None
    allocation: BitAllocation | None
    budget: Budget | None = None
    training: int = 0


def find_sources(config: RunConfig, phase: Phase) -> Sources:
    """Decide where model and data come from, and count the reviews that ``phase`` needs (else 0).

    Raises:
        MpqError: E-NETWORK, E-OFFLINE, E-NOFILE, E-MODEL, E-DATA-FORMAT.
    """
    model = find_classifier(config.model)
    data = find_reviews(config.data)
    return Sources(
        model=model,
        data=data,
        calibration_size=_size(data, "calibration") if phase != "quantize" else 0,
        evaluation_size=_size(data, "evaluation") if phase != "sensitivity" else 0,
    )


def named(config: RunConfig, sources: Sources) -> RunConfig:
    """Return ``config`` with the embedded classifier named where the default model gave way to it.

    The command that repeats the run must not take another model when the hub is within reach.
    """
    gave_way = config.model == "default" and sources.model.kind == "embedded"
    return config.replace(model="embedded") if gave_way else config


def make_plan(config: RunConfig, phase: Phase, sources: Sources | None = None) -> Plan:
    """Check everything that can be checked before a run starts.

    Args:
        config: the run.
        phase: what to run.
        sources: what ``find_sources`` returned, if it has been asked already.

    Raises:
        MpqError: what ``find_sources`` raises; E-DATA-SIZE, E-LAYERS, E-NOFILE, E-JSON, E-GROUPS, E-READONLY.
    """
    from bert_mpq.sources.sampling import check_size

    sensitivities = budget = None
    if phase == "quantize":
        sensitivities, budget = distributed.on_first(lambda: _scores(config))
    sources = sources or _agreed(find_sources(config, phase))
    config = named(config, sources)
    if config.max_length is not None and config.max_length > sources.model.positions:
        positions = sources.model.positions
        raise MpqError(
            "E-MODEL",
            f"--max-length {config.max_length:,}, but the model reads {positions:,} tokens at most.",
            f"Use {positions:,} or fewer.",
        )
    if config.fit_head is not None:
        check_size(config.fit_head, sources.calibration_size or _size(sources.data, "calibration"))
    calibration = evaluation = training = 0
    if phase != "quantize":
        calibration = check_size(config.calibration_size, sources.calibration_size)
        check_required(config.metrics, sources.model.hidden, calibration, config.rows)
        distributed.on_first(lambda: check_writable(config.output, SENSITIVITIES))
    if phase != "sensitivity":
        evaluation = check_size(config.eval_size, sources.evaluation_size)
        distributed.on_first(lambda: check_writable(config.output, EVALUATION))
        if config.clustering != "budget":
            check_groups(len(config.bits), sources.model.layers)
        if config.qat_epochs:
            check_trainable(config)
            training = check_size(
                config.qat_reviews, sources.calibration_size or _size(sources.data, "calibration")
            )
    allocation = None
    if sensitivities is not None:
        check_layers(sensitivities, sources.model)
        allocation = _allocation(config, sensitivities, budget)
    return Plan(
        config=config,
        phase=phase,
        sources=sources,
        calibration=calibration,
        evaluation=evaluation,
        sensitivities=sensitivities,
        allocation=allocation,
        budget=budget,
        training=training,
    )


def _scores(config: RunConfig) -> tuple[Sensitivities, Budget | None]:
    """Return the scores that Phase 2 starts from, and the budget problem where there is one."""
    file = config.sensitivities
    if file is None:
        raise MpqError("E-NOFILE", "Phase 2 needs a sensitivity file.", "Give --sensitivities FILE.")
    if config.clustering != "budget":
        return read_sensitivities(file), None
    scores = read_width_scores(file)
    sensitivities = sensitivities_of(scores, config.score, user_path(file).name)
    return sensitivities, make_budget(config, scores)


def _allocation(
    config: RunConfig, sensitivities: Sensitivities, budget: Budget | None
) -> BitAllocation | None:
    if config.clustering != "budget":
        return allocate(sensitivities.values, config.bits, config.clustering, config.protect_last)
    assert budget is not None
    if config.goal.kind == "drop":
        return None
    return budget.allocation(budget.best(config.goal))


def check_layers(sensitivities: Sensitivities, model: ModelSource) -> None:
    """Refuse scores of another model.

    Raises:
        MpqError: E-LAYERS.
    """
    hint = "Pick another file, or run Phase 1 for this model."
    if len(sensitivities.values) != model.layers:
        raise MpqError(
            "E-LAYERS",
            f"The file has {len(sensitivities.values)} layers, the model has {model.layers}.",
            hint,
        )


def check_groups(groups: int, layers: int) -> None:
    """Refuse more groups than layers.

    Raises:
        MpqError: E-GROUPS.
    """
    if groups > layers:
        raise MpqError(
            "E-GROUPS", f"{groups} groups, but the model has only {layers} layers.", "Give fewer bits."
        )


def check_trainable(config: RunConfig) -> None:
    """Refuse a quantization-aware training that cannot be.

    Raises:
        MpqError: E-CONFIG, E-DISTRIBUTED.
    """
    if config.clustering != "budget":
        check_some_below_16(config.bits)
    if not is_symmetric(config.quantizer):
        raise MpqError(
            "E-CONFIG",
            f"--qat-epochs trains symmetric grids only, and {config.quantizer} has none.",
            "Use another --quantizer.",
        )
    if distributed.launched():
        raise MpqError(
            "E-DISTRIBUTED",
            "Quantization-aware training runs in one process.",
            "Start it without torchrun, or leave --qat-epochs out.",
        )


def check_some_below_16(bits: tuple[int, ...]) -> None:
    """Refuse to train where no weight has fewer than 16 bits.

    Raises:
        MpqError: E-CONFIG.
    """
    if min(bits) >= 16:
        raise MpqError(
            "E-CONFIG",
            "--qat-epochs trains weights below 16 bits, and there are none.",
            "Give fewer bits, or leave it out.",
        )


def _agreed(sources: Sources) -> Sources:
    """Refuse processes that found different things, as when only one host reaches the hub."""
    distributed.agree("models", sources.model.name)
    distributed.agree("data", sources.data.name)
    distributed.agree("numbers of reviews", (sources.calibration_size, sources.evaluation_size))
    return sources


def _size(data: DataSource, split: Split) -> int:
    known = known_size(data, split)
    return len(load_reviews(data, split)) if known is None else known
