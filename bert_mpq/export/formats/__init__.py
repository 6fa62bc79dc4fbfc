"""The formats of an export, by the name that ``--format`` takes; quick to import.

Adding one: write a subclass of ``Format`` in a file of this folder, and give it a row here.
"""

from typing import Literal

from bert_mpq.export.formats.compressed_tensors import CompressedTensors
from bert_mpq.export.formats.dense import DenseFloat16
from bert_mpq.export.formats.format import Format
from bert_mpq.export.formats.mpq import Mpq
from bert_mpq.export.formats.onnx import Onnx, OnnxInt8
from bert_mpq.settings.errors import UsageError

FORMATS: dict[str, Format] = {
    each.name: each for each in (Mpq(), Onnx(), CompressedTensors(), DenseFloat16())
}
DEFAULT = Mpq.name
Activations = Literal["fp32", "int8"]


def format_for(name: str, activations: Activations) -> Format:
    """Return a format by its name, in the form that computes with such activations.

    Raises:
        UsageError: E-EXPORT when there is none.
    """
    if name not in FORMATS:
        raise UsageError("E-EXPORT", f"There is no format {name}.", f"Take {' or '.join(FORMATS)}.")
    if activations == "fp32":
        return FORMATS[name]
    if name != OnnxInt8.name:
        raise UsageError("E-EXPORT", f"{name} has no int8 activations.", "Use --format onnx.")
    return OnnxInt8()


__all__ = ["DEFAULT", "FORMATS", "Activations", "Format", "format_for"]
