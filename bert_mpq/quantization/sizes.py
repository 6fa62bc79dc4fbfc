"""The shape of a model, from which its size follows."""

from torch import nn

from bert_mpq.encoder import encoder_layers, linears
from bert_mpq.outline import LinearShape, Outline


def outline_of(model: nn.Module) -> Outline:
    """Count every parameter of a classifier once, in the part it belongs to."""
    modules = dict(model.named_modules())
    shapes = tuple(
        LinearShape(
            name=name,
            layer=layer,
            outputs=modules[name].weight.shape[0],
            inputs=modules[name].weight.shape[1],
        )
        for layer, names in enumerate(linear_names(model))
        for name in names
    )
    encoder = {modules[shape.name].weight for shape in shapes}
    tables = {p for m in modules.values() if isinstance(m, nn.Embedding) for p in m.parameters()}
    layers = set(encoder_layers(model).parameters())
    norms = {p for m in modules.values() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    small = (layers | norms) - encoder - tables
    rest = set(model.parameters()) - encoder - tables - small
    return Outline(
        linears=shapes,
        embedding_weights=_count(tables),
        norm_weights=_count(small),
        head_weights=_count(rest),
    )


def linear_names(model: nn.Module) -> list[list[str]]:
    """Return the names in the model of every Linear, one list per encoder layer, first layer first."""
    names = {module: name for name, module in model.named_modules()}
    return [[names[linear] for _, linear in linears(layer)] for layer in encoder_layers(model)]


def _count(parameters: set[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
