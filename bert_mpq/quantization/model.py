"""A bit allocation applied to a model: every weight is quantized once, not at every forward pass."""

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bert_mpq.compute.encoder import encoder_layers, linear_names, linears, outline_of
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization import gptq, per_tensor, rtn
from bert_mpq.quantization.calibration import LayerHessians
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.quantization.weight import Quantize, QuantizedWeight, finite
from bert_mpq.records.sizes import SizeReport, size_report
from bert_mpq.settings.errors import MpqError
from bert_mpq.settings.quantizers import Algorithm, QuantizerName, needs_calibration, quantizer_for

ALGORITHMS: dict[Algorithm, Quantize] = {
    "gptq": gptq.quantize,
    "rtn-mse": rtn.quantize_clipped,
    "rtn": rtn.quantize,
    "per-tensor": per_tensor.quantize,
}


@dataclass(frozen=True, kw_only=True)
class QuantizedModel:
    """A model with fake-quantized encoder weights, the codes they were computed from, and its size.

    Args:
        model: a copy of the FP32 model; a Linear below 16 bits holds exactly ``weights[name].dequantize()``.
        bits: bits of every encoder Linear, by its name in the model; 16 = rounded to float16, 32 = as it was.
        weights: codes and scales, in host memory, of the Linears below 16 bits, by name.
        sizes: bits before and after.
    """

    model: nn.Module
    bits: Mapping[str, int]
    weights: Mapping[str, QuantizedWeight]
    sizes: SizeReport


@torch.no_grad()
def quantize_layer(
    layer: nn.Module,
    bits: Mapping[str, int],
    quantizer: QuantizerName,
    group_size: int | None,
    hessians: Mapping[str, Hessian] | None = None,
) -> dict[str, QuantizedWeight]:
    """Replace every Linear weight of an encoder layer, in place, by its fake-quantized value.

    Args:
        bits: of each of its Linears, by its name in the layer: 32 leaves it untouched, 16 rounds to float16,
            fewer go through the quantizer.
        quantizer: the algorithm; GPTQ without a Hessian becomes ``rtn-mse``.
        hessians: of the calibration inputs, by the name in the layer.

    Returns:
        Codes and scales by the name in the layer, in host memory, of the Linears below 16 bits.

    Raises:
        MpqError: E-MODEL when a weight or a calibration input holds NaN, infinity or values beyond float16.
    """
    weights = {}
    for name, linear in linears(layer):
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
            raise MpqError(
                "E-MODEL", f"The weight of {name}: {error}.", "The checkpoint is broken."
            ) from error
        weights[name] = quantized.cpu()
        linear.weight.copy_(weights[name].dequantize())
    return weights


def quantized_copy(
    model: nn.Module,
    bits: Mapping[str, int],
    scheme: Scheme,
    calibration: Workload | None = None,
    reporter: Reporter | None = None,
) -> QuantizedModel:
    """Return a copy of ``model`` with its encoder layers quantized, first layer first.

    With a calibration GPTQ sees, for every layer, the inputs that the quantized layers before it give.
    Pooler and classification head stay FP32. On one machine the same arguments give the same weights, bit by
    bit.

    Args:
        bits: of every encoder Linear, by its name in the model; see ``Outline.bits_by_name``.

    Raises:
        MpqError: E-LAYERS when the allocation is not for this model; E-MODEL; E-MEMORY.
    """
    quantized = copy.deepcopy(model)
    names, layers = linear_names(quantized), list(encoder_layers(quantized))
    _check_names([name for layer in names for name in layer], bits)
    if scheme.embeddings == "fp16":
        round_embeddings(quantized)
    weights: dict[str, QuantizedWeight] = {}
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(LayerHessians(quantized, calibration)) if calibration else None
        for index in (reporter or Silent()).track(range(len(layers)), "Quantize", len(layers)):
            in_model = dict(zip((name for name, _ in linears(layers[index])), names[index], strict=True))
            widths = {name: bits[full] for name, full in in_model.items()}
            hessians = None
            if source is not None and needs_calibration(scheme.quantizer, widths.values()):
                hessians = source.of_layer(index)
            found = quantize_layer(layers[index], widths, scheme.quantizer, scheme.group_size, hessians)
            weights |= {in_model[name]: weight for name, weight in found.items()}
    outline = outline_of(quantized)
    sizes = size_report(outline, bits, scheme.quantizer, scheme.group_size, scheme.embeddings)
    in_order = {linear.name: bits[linear.name] for linear in outline.linears}
    return QuantizedModel(model=quantized, bits=in_order, weights=weights, sizes=sizes)


@torch.no_grad()
def round_embeddings(model: nn.Module) -> None:
    """Round every embedding table, in place, to float16 values.

    Raises:
        MpqError: E-MODEL when a table holds NaN, infinity or values beyond float16.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            try:
                module.weight.copy_(finite(finite(module.weight).half()))
            except ValueError as error:
                raise MpqError("E-MODEL", f"The table {name}: {error}.", "Use --embeddings fp32.") from error


def _check_names(names: Sequence[str], bits: Mapping[str, int]) -> None:
    """Refuse bits that are not those of exactly these Linears."""
    odd = sorted(set(names) ^ set(bits))
    if odd:
        raise MpqError("E-LAYERS", f"The allocation does not fit the model: {odd[0]} is in one of them only.")
