"""A run decided and checked before anything heavy is loaded or anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from bert_mpq.records.evaluation import BitAllocation, Sensitivities
from bert_mpq.records.files import EVALUATION, SENSITIVITIES
from bert_mpq.settings import flags
from bert_mpq.settings.choices import Split
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.flag import Subcommand
from bert_mpq.settings.metrics import Metric

if TYPE_CHECKING:
    from bert_mpq.allocation.budget import Budget
    from bert_mpq.sources.classifiers import ModelSource
    from bert_mpq.sources.reviews import DataSource

Phase = Literal["sensitivity", "quantize", "run"]
REFINE_REVIEWS = 256  # calibration reviews on which plans of one size are told apart
MOST_REFINEMENTS = 32


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Model and data that a configuration means here and now.

    Args:
        sizes: reviews of each split that a phase was said to need.
    """

    model: "ModelSource"
    data: "DataSource"
    sizes: Mapping[Split, int]


def max_length(config: RunConfig, model: "ModelSource") -> int:
    """Return the tokens per review at most: those that were asked for, else the model's own maximum."""
    return config.max_length or model.max_length


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked run: all that its functions know of what was asked for.

    Args:
        config: the settings. Those that the run does not use have their defaults, and where a model stands in
            for the default one, it is named.
        reviews: how many the run draws of each split that it measures on.
    """

    command: ClassVar[Subcommand]  # the subcommand that repeats it
    folders: ClassVar[tuple[str, ...]]  # that it writes

    config: RunConfig
    sources: Sources
    reviews: Mapping[Split, int]

    @property
    def max_length(self) -> int:
        """Tokens per review at most."""
        return max_length(self.config, self.sources.model)

    @property
    def repeat(self) -> str:
        """The shell command that repeats the run."""
        return flags.command_line(self.command, self.config)


@dataclass(frozen=True, kw_only=True)
class AnalysisPlan(Plan):
    """Phase 1."""

    command = "sensitivity"
    folders = (SENSITIVITIES,)


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan(Plan):
    """A run that ends in an evaluation.

    Args:
        training: calibration reviews of the quantization-aware training (0 when there is none).
    """

    training: int

    @property
    def refinements(self) -> int:
        """Plans of one size to measure: by default so many that they take less than the evaluation."""
        config = self.config
        if config.clustering != "budget" or config.goal.kind == "drop":
            return 0
        if config.refine is not None:
            return config.refine
        return min(MOST_REFINEMENTS, self.reviews["evaluation"] // REFINE_REVIEWS)


@dataclass(frozen=True, kw_only=True)
class QuantizationPlan(EvaluationPlan):
    """Phase 2.

    Args:
        allocation: the bits; None where the target is an accuracy drop: they are found by evaluating.
        budget: the problem that they solve; None for a clustering.
    """

    command = "quantize"
    folders = (EVALUATION,)

    sensitivities: Sensitivities
    allocation: BitAllocation | None
    budget: "Budget | None" = None


@dataclass(frozen=True, kw_only=True)
class FullPlan(EvaluationPlan):
    """Both phases; the second is planned from what the first has written."""

    command: ClassVar[Subcommand] = "run"
    folders = (SENSITIVITIES, EVALUATION)

    first: AnalysisPlan


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A row of the guide's table, which a sweep measures.

    Args:
        metrics: the metrics the guide names; each has a row of its own.
        bits: bits per group, most sensitive group first.
    """

    name: str
    metrics: tuple[Metric, ...]
    bits: tuple[int, ...]


PRESETS = (
    Preset(name="Conservative", metrics=("pwcca",), bits=(16, 8, 4)),
    Preset(name="Moderate", metrics=("pwcca", "cka"), bits=(16, 8, 4, 2)),
    Preset(name="Aggressive", metrics=("svcca",), bits=(8, 4, 2, 2)),
)


@dataclass(frozen=True, kw_only=True)
class SweepPlan(FullPlan):
    """Phase 1 once, and Phase 2 for every row of a table."""

    command = "sweep"


@dataclass(frozen=True, kw_only=True)
class ValidationPlan(Plan):
    """The scores against the damage."""

    command = "validate"
    folders = (SENSITIVITIES,)
