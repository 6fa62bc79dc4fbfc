"""The encoder layers of a transformers classifier, and the Linear modules inside them."""

from torch import nn

from bert_mpq.errors import MpqError


def layer_path(model: nn.Module) -> str:
    """Return the dotted name of the ModuleList that holds the encoder layers.

    It is the only list with as many members as the config has layers, each with Linear modules inside.

    Raises:
        MpqError: E-MODEL when there is none, or more than one.
    """
    config = model.config
    count = getattr(config, "num_hidden_layers", None)
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and all(map(linears, module))
    ]
    if len(found) != 1:
        kind = type(model).__name__
        raise MpqError(
            "E-MODEL", f"{kind} has no single list of encoder layers.", "Use a BERT-like encoder classifier."
        )
    return str(found[0])


def encoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the encoder layers, first to last; raises as ``layer_path``."""
    layers = model.get_submodule(layer_path(model))
    assert isinstance(layers, nn.ModuleList)
    return layers


def linears(layer: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Return (name, module) of every Linear of an encoder layer, in forward order of definition."""
    return [(name, module) for name, module in layer.named_modules() if isinstance(module, nn.Linear)]
