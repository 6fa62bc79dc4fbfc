"""The encoder layers of a transformers classifier, and the Linear modules inside them."""

from typing import Any, cast

from torch import nn

from bert_mpq.records.outline import LinearShape, Outline
from bert_mpq.records.sizes import groups_of
from bert_mpq.settings.embeddings import TABLE_GROUP
from bert_mpq.settings.errors import ModelError


def layer_path(model: nn.Module) -> str:
    """Return the dotted name of the ModuleList that holds the encoder layers.

    It is the only list with as many members as the config has layers, each with Linear modules inside; a
    list inside a layer (MobileBERT has one) is none.

    Raises:
        MpqError: E-MODEL when there is none, or more than one.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    lists: list[str] = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and all(map(linears, module))
    ]
    found = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(found) != 1:
        kind = type(model).__name__
        raise ModelError(
            f"{kind} has no single list of encoder layers.", "Use a BERT-like encoder classifier."
        )
    return found[0]


def encoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the encoder layers, first to last; raises as ``layer_path``."""
    return cast(nn.ModuleList, model.get_submodule(layer_path(model)))


class LayerStandIn(nn.Module):
    """Stands in for an encoder layer: what it does not have itself is read from the layer.

    Some encoders ask their layers for more than a forward pass: ModernBERT for the kind of its attention, for
    one.
    """

    layer: nn.Module

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            layer = self.__dict__.get("_modules", {}).get("layer")
            if layer is None:  # while the module is being made, or copied
                raise
            return getattr(layer, name)


def linears(layer: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Return (name, module) of every Linear of an encoder layer, in forward order of definition."""
    return [(name, module) for name, module in layer.named_modules() if isinstance(module, nn.Linear)]


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
        embedding_scales=sum(len(table) * groups_of(table.shape[1], TABLE_GROUP) for table in tables),
        norm_weights=_count(small),
        head_weights=_count(rest),
    )


def linear_names(model: nn.Module) -> list[list[str]]:
    """Return the names in the model of every Linear, one list per encoder layer, first layer first."""
    names = {module: name for name, module in model.named_modules()}
    return [[names[linear] for _, linear in linears(layer)] for layer in encoder_layers(model)]


def _count(parameters: set[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
