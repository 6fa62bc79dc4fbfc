"""Models quantized with as few words as a test needs."""

from bert_mpq.compute.encoder import linears, outline_of
from bert_mpq.quantization.layer import quantize_layer
from bert_mpq.quantization.model import QuantizedModel, quantized_copy
from bert_mpq.quantization.scheme import Scheme


def quantized_at(model, bits, quantizer, group_size, calibration=None, embeddings="fp32") -> QuantizedModel:
    """Return a quantized copy with so many bits in each encoder layer."""
    by_name = outline_of(model).bits_by_name(bits)
    scheme = Scheme(quantizer=quantizer, group_size=group_size, embeddings=embeddings)
    return quantized_copy(model, by_name, scheme, calibration)


def quantize_whole(layer, bits, quantizer, group_size, hessians=None):
    """Quantize every Linear of a layer at one width, in place; return the codes by name."""
    widths = {name: bits for name, _ in linears(layer)}
    return quantize_layer(layer, widths, quantizer, group_size, hessians)


def stored_scale_bits(weight):
    """Bits of scales and zero points when packed."""
    zeros = 0 if weight.zero_point is None else weight.zero_point.numel() * weight.bits
    return weight.scale.numel() * weight.scale.element_size() * 8 + zeros


def stored_bits(weight):
    """Bits of codes, scales and zero points when packed."""
    return weight.codes.numel() * weight.bits + stored_scale_bits(weight)
