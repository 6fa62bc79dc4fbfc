"""Quantized models that the tests of the export share."""

from bert_mpq.export.packed import pack_model
from tests.helpers.quantized import quantized_at


def packed_pair(model, widths, quantizer="rtn", group_size=None):
    """Return a quantized copy, and the same packed."""
    quantized = quantized_at(model, widths, quantizer, group_size)
    return quantized.model, pack_model(quantized.model, quantized.weights, quantized.bits, "fp32")
