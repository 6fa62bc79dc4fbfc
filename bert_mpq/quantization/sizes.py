"""What a quantized model takes, part by part."""

from collections.abc import Mapping

from torch import nn

from bert_mpq.encoder import encoder_layers, linears
from bert_mpq.quantization.weight import QuantizedWeight
from bert_mpq.results import SizeReport


def size_report(
    model: nn.Module, bits: Mapping[str, int], weights: Mapping[str, QuantizedWeight], embedding_bits: int
) -> SizeReport:
    """Count every parameter of a classifier once, in the part it belongs to.

    Args:
        model: the classifier.
        bits: bits of every encoder Linear, by its name in the model.
        weights: those below 16 bits.
        embedding_bits: bits per entry of the embedding tables.
    """
    modules = dict(model.named_modules())
    encoder = {modules[name].weight for name in bits}
    tables = {p for m in modules.values() if isinstance(m, nn.Embedding) for p in m.parameters()}
    layers = set(encoder_layers(model).parameters())
    norms = {p for m in modules.values() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    small = (layers | norms) - encoder - tables
    rest = set(model.parameters()) - encoder - tables - small
    return SizeReport(
        linear_weights=_count(encoder),
        nominal_bits=sum(modules[name].weight.numel() * width for name, width in bits.items()),
        scale_bits=sum(weight.scale_bits for weight in weights.values()),
        embedding_weights=_count(tables),
        embedding_bits=embedding_bits * _count(tables),
        norm_bits=32 * _count(small),
        head_bits=32 * _count(rest),
    )


def linear_names(model: nn.Module) -> list[list[str]]:
    """Return the names in the model of every Linear, one list per encoder layer, first layer first."""
    names = {module: name for name, module in model.named_modules()}
    return [[names[linear] for _, linear in linears(layer)] for layer in encoder_layers(model)]


def _count(parameters: set[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
