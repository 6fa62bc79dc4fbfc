"""Phase 1: how much each encoder layer suffers from quantization, in one pass over the reviews."""

from bert_mpq.sensitivity.accumulation import BLOCKS, Accumulation
from bert_mpq.sensitivity.measure import Measurement, measure
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.sensitivity.probed_classifier import ProbedClassifier
from bert_mpq.sensitivity.scoring import Scoring, agreement, score
from bert_mpq.sensitivity.stability import Stability
from bert_mpq.sensitivity.widths import metric_values, output_errors, width_tables

__all__ = [
    "BLOCKS",
    "Accumulation",
    "Measurement",
    "Scoring",
    "Stability",
    "agreement",
    "measure",
    "metric_values",
    "output_errors",
    "score",
    "width_tables",
]

__all__ += ["Probe", "ProbedClassifier"]
