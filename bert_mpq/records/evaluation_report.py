"""Evaluation reports: the TXT of the script this tool replaces; more keys follow its own in each section."""

from pathlib import Path

from bert_mpq.records.context import file_words
from bert_mpq.records.evaluation import EvaluationResult
from bert_mpq.records.template import render

TEMPLATE = Path(__file__).with_name("evaluation.txt.jinja")


def evaluation_stem(result: EvaluationResult, timestamp: str) -> str:
    """Return the file name without suffix."""
    words = file_words(result.setting.model_word, result.setting.data_word)
    allocation = result.allocation
    return stem_of(words, allocation.method, len(allocation.group_bits), timestamp)


def stem_of(words: str, method: str, groups: int | str, timestamp: str) -> str:
    """Return the file name without suffix; the defaults give the names of the script this tool replaces.

    Args:
        words: of ``file_words``.
        method: of the bit allocation.
        groups: of layers with the same bits.
        timestamp: local time, YYYYmmdd_HHMMSS.
    """
    return f"eval_{words}_{method}_{groups}groups_{timestamp}"


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
