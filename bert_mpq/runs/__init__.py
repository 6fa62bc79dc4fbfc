"""All a script needs: ``analyse`` (Phase 1), ``quantize_and_evaluate`` (Phase 2) and ``run`` (both)."""

from bert_mpq.runs.full_run import FullRun, run
from bert_mpq.runs.phase_1 import Analysis, analyse
from bert_mpq.runs.phase_2 import Quantization, quantize_and_evaluate

__all__ = ["Analysis", "FullRun", "Quantization", "analyse", "quantize_and_evaluate", "run"]
