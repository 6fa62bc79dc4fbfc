"""All a script needs: ``analyse`` (Phase 1), ``quantize_and_evaluate`` (Phase 2) and ``run`` (both)."""

from bert_mpq.pipeline.analysis import Analysis, analyse
from bert_mpq.pipeline.full_run import FullRun, run
from bert_mpq.pipeline.quantization import Quantization, quantize_and_evaluate

__all__ = ["Analysis", "FullRun", "Quantization", "analyse", "quantize_and_evaluate", "run"]
