"""Mixed-precision quantization workbench for BERT classifiers.

>>> from bert_mpq import RunConfig, run
>>> result = run(RunConfig(model="embedded", calibration_size=1000, eval_size=1000))  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_mpq.export.formats.mpq import load
    from bert_mpq.runs.api import analyse, quantize_and_evaluate, run
    from bert_mpq.runs.compare import Comparison, compare
    from bert_mpq.settings.config import RunConfig
    from bert_mpq.settings.errors import MpqError

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "MpqError",
    "RunConfig",
    "analyse",
    "compare",
    "load",
    "quantize_and_evaluate",
    "run",
]

_HOMES = {
    "Comparison": "bert_mpq.runs.compare",
    "MpqError": "bert_mpq.settings.errors",
    "RunConfig": "bert_mpq.settings.config",
    "analyse": "bert_mpq.runs.api",
    "compare": "bert_mpq.runs.compare",
    "load": "bert_mpq.export.formats.mpq",
    "quantize_and_evaluate": "bert_mpq.runs.api",
    "run": "bert_mpq.runs.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``bert-mpq`` shows its menu before torch is loaded."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
