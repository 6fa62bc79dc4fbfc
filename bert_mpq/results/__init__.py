"""What the phases hand to each other and to the files: plain frozen data, no logic beyond sums."""

from bert_mpq.results.context import Sample, Setting, Stage
from bert_mpq.results.evaluation import (
    Accuracy,
    BitAllocation,
    EvaluationResult,
    Sensitivities,
    TrainedEvaluation,
)
from bert_mpq.results.sensitivity import LayerScore, MetricAgreement, Scores, SensitivityResult, Stopping
from bert_mpq.results.sizes import SizeReport

__all__ = [
    "Accuracy",
    "BitAllocation",
    "EvaluationResult",
    "LayerScore",
    "MetricAgreement",
    "Sample",
    "Scores",
    "Sensitivities",
    "SensitivityResult",
    "Setting",
    "SizeReport",
    "Stage",
    "Stopping",
    "TrainedEvaluation",
]
