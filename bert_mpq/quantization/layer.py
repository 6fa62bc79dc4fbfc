"""One encoder layer quantized: every Linear by the algorithm that its width asks for."""

from collections.abc import Mapping

import torch
from torch import nn

from bert_mpq.compute.encoder import linears
from bert_mpq.quantization import gptq, per_tensor, rtn
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.weight import Quantize, QuantizedWeight, finite
from bert_mpq.settings.errors import ModelError
from bert_mpq.settings.quantizers import Algorithm, QuantizerName, quantizer_for

ALGORITHMS: dict[Algorithm, Quantize] = {
    "gptq": gptq.quantize,
    "learned": gptq.quantize,  # what it starts from; see bert_mpq.quantization.rounding
    "rtn-mse": rtn.quantize_clipped,
    "rtn": rtn.quantize,
    "per-tensor": per_tensor.quantize,
}


@torch.no_grad()
def quantize_layer(
    layer: nn.Module,
    bits: Mapping[str, int],
    quantizer: QuantizerName,
    group_size: int | None,
    hessians: Mapping[str, Hessian] | None = None,
) -> dict[str, QuantizedWeight]:
    """Replace Linear weights of an encoder layer, in place, by their fake-quantized values.

    Args:
        bits: of the Linears to replace, by their names in the layer: 32 leaves one untouched, 16 rounds to
            float16, fewer go through the quantizer.
        quantizer: the algorithm; GPTQ without a Hessian becomes ``rtn-mse``.
        hessians: of the calibration inputs, by the name in the layer.

    Returns:
        Codes and scales by the name in the layer, in host memory, of the Linears below 16 bits.

    Raises:
        MpqError: E-MODEL when a weight or a calibration input holds NaN, infinity or values beyond float16.
    """
    weights = {}
    for name, linear in linears(layer):
        if name not in bits:
            continue
        hessian = hessians.get(name) if hessians else None
        try:
            if bits[name] >= 16:
                exact = finite(linear.weight)
                linear.weight.copy_(finite(exact.half()) if bits[name] == 16 else exact)
                continue
            chosen = quantizer_for(quantizer, bits[name], group_size, calibrated=hessian is not None)
            source = linear.weight if hessian is None else linear.weight.to(hessian.matrix.device)
            quantized = ALGORITHMS[chosen.algorithm](source, bits[name], chosen.group_size, hessian)
        except ValueError as error:
            raise ModelError(f"The weight of {name}: {error}.", "The checkpoint is broken.") from error
        weights[name] = quantized.cpu()
        linear.weight.copy_(weights[name].dequantize())
    return weights
