"""A bit allocation applied to a model: every weight is quantized once, not at every forward pass."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from bert_mpq.compute.checkpoints import Checkpoint
from bert_mpq.compute.encoder import linear_names, outline_of
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.embeddings import round_tables
from bert_mpq.quantization.layerwise import Layerwise
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.records.sizes import SizeReport, size_report
from bert_mpq.settings.errors import MpqError


@dataclass(frozen=True, kw_only=True)
class QuantizedModel:
    """A model with fake-quantized weights, the codes they were computed from, and its size.

    Args:
        model: a copy of the FP32 model; a weight that has codes holds exactly ``codes[name].dequantize()``.
        bits: bits of every encoder Linear, by its name in the model; 16 = rounded to float16, 32 = as it was.
        weights: codes and scales, in host memory, of the encoder Linears below 16 bits, by name.
        tables: the same of the embedding tables, where they have codes.
        sizes: bits before and after.
    """

    model: nn.Module
    bits: Mapping[str, int]
    weights: Mapping[str, QuantizedWeight]
    tables: Mapping[str, QuantizedWeight]
    sizes: SizeReport

    @property
    def codes(self) -> dict[str, QuantizedWeight]:
        """Codes and scales of everything that has some, by the name of the module."""
        return {**self.weights, **self.tables}


def quantized_copy(
    model: nn.Module,
    bits: Mapping[str, int],
    scheme: Scheme,
    calibration: Workload | None = None,
    reporter: Reporter | None = None,
    checkpoint: Checkpoint | None = None,
) -> QuantizedModel:
    """Return a copy of ``model`` with its encoder layers quantized, first layer first.

    With a calibration every layer is quantized for the inputs that the quantized layers before it give.
    Pooler and classification head stay FP32. On one machine the same arguments give the same weights, bit by
    bit.

    Args:
        bits: of every encoder Linear, by its name in the model; see ``Outline.bits_by_name``.
        checkpoint: where learned rounding goes on from, layer by layer, and writes to.

    Raises:
        MpqError: E-LAYERS when the allocation is not for this model; E-MODEL; E-MEMORY.
    """
    quantized = copy.deepcopy(model)
    if odd := {name for layer in linear_names(quantized) for name in layer} ^ {*bits}:
        raise MpqError(
            "E-LAYERS", f"The allocation does not fit the model: {min(odd)} is in one of them only."
        )
    tables = round_tables(quantized, scheme.embeddings)
    weights = Layerwise(model, quantized, bits, scheme, calibration).run(reporter or Silent(), checkpoint)
    outline = outline_of(quantized)
    sizes = size_report(outline, bits, scheme.quantizer, scheme.group_size, scheme.embeddings)
    in_order = {linear.name: bits[linear.name] for linear in outline.linears}
    return QuantizedModel(model=quantized, bits=in_order, weights=weights, tables=tables, sizes=sizes)
