"""What the phases hand to each other and to the files: plain frozen data, no logic beyond sums."""

from bert_mpq.records.context import Sample, Setting, Stage
from bert_mpq.records.evaluation import (
    Accuracy,
    BitAllocation,
    EvaluationResult,
    Sensitivities,
    TrainedEvaluation,
)
from bert_mpq.records.sensitivity import LayerScore, MetricAgreement, Scores, SensitivityResult, Stopping
from bert_mpq.records.sizes import SizeReport

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
