"""Quantized models that the tests of the export share."""

import copy

from bert_mpq.compute.encoder import encoder_layers, layer_path, linears
from bert_mpq.quantization import rtn


def quantized(model, widths, group_size=None, quantize=rtn.quantize):
    """Return a fake-quantized copy, its codes by module name, and the parameters that hold float16 values."""
    model, weights, halves = copy.deepcopy(model), {}, set()
    for index, (layer, bits) in enumerate(zip(encoder_layers(model), widths, strict=True)):
        for short, linear in linears(layer):
            name = f"{layer_path(model)}.{index}.{short}"
            if bits < 16:
                weights[name] = quantize(linear.weight, bits, group_size)
                linear.weight.data = weights[name].dequantize()
            elif bits == 16:
                halves.add(f"{name}.weight")
                linear.weight.data = linear.weight.data.half().float()
    return model, weights, halves
