"""The formats of an export, by the name that ``--format`` takes; quick to import.

Adding one: write a subclass of ``Format`` in a file of this folder, and give it a row here.
"""

from bert_mpq.export.formats.compressed_tensors import CompressedTensors
from bert_mpq.export.formats.dense import DenseFloat16
from bert_mpq.export.formats.format import Format
from bert_mpq.export.formats.mpq import Mpq

FORMATS: dict[str, Format] = {each.name: each for each in (Mpq(), CompressedTensors(), DenseFloat16())}
DEFAULT = Mpq.name

__all__ = ["DEFAULT", "FORMATS", "Format"]
