"""Evaluation reports: the TXT of the script this tool replaces; more keys follow its own in each section."""

from pathlib import Path

from bert_mpq.records.context import file_words
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.template import render

TEMPLATE = Path(__file__).with_name("evaluation.txt.jinja")


def evaluation_stem(result: EvaluationResult, timestamp: str) -> str:
    """Return the file name without suffix; the defaults give the names of the script this tool replaces."""
    words = file_words(result.setting)
    groups = len(result.allocation.group_bits)
    return f"eval_{words}_{result.allocation.method}_{groups}groups_{timestamp}"


def evaluation_text(result: EvaluationResult, timestamp: str) -> str:
    """Return the TXT report."""
    return render(
        TEMPLATE,
        result=result,
        timestamp=timestamp,
        config=result.config,
        setting=result.setting,
        sensitivities=result.sensitivities,
        allocation=result.allocation,
        before=result.before,
        after=result.after,
        sizes=result.sizes,
        refinement=result.refinement,
        trained=result.trained,
        training=result.trained and result.trained.training,
    )


def report_path(record: Path) -> Path:
    """Return the TXT path beside a run record."""
    return record.with_suffix(".txt")
