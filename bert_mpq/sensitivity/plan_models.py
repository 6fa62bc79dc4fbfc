"""Models of whole plans, made of twins: nothing is quantized again."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from bert_mpq.compute.encoder import encoder_layers, linear_names, linears
from bert_mpq.sensitivity.twins import Twins


class PlanModels:
    """Models of any plan at the widths of the twins, or at 32 bits; they share all weights with the twins.

    With GPTQ a twin has seen the FP32 model's inputs, not those that the layers before it leave when they are
    quantized, too. That is what plans are compared by, here and in the search of a budget.

    Args:
        twins: of whole encoder layers.
    """

    def __init__(self, twins: Twins) -> None:
        self._model, names = twins.model, linear_names(twins.model)
        self._weights = {
            (name, width): linear.weight
            for own, made in zip(names, twins.layers, strict=True)
            for width, twin in zip(twins.probe.bits, made, strict=True)
            for name, (_, linear) in zip(own, linears(twin), strict=True)
        }
        self._own = {
            name: linear.weight
            for own, layer in zip(names, encoder_layers(twins.model), strict=True)
            for name, (_, linear) in zip(own, linears(layer), strict=True)
        }

    def of(self, bits: Mapping[str, int]) -> nn.Module:
        """Return the model of a plan, bits by the names of the Linears; it copies no weight.

        Raises:
            KeyError: there are no twins of a width below 32.
        """
        shared: dict[int, Tensor] = {id(each): each for each in self._model.parameters()}
        for name, width in bits.items():
            if width < 32:
                shared[id(self._own[name])] = self._weights[name, width]
        return copy.deepcopy(self._model, shared)
