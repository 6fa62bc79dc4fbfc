"""How encoder layers are perturbed."""

import copy
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.layer import quantize_layer
from bert_mpq.settings.choices import Granularity, Pooling, Scope
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.quantizers import QuantizerName, for_probes


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How layers are perturbed and compared; fields as in ``RunConfig``.

    Args:
        bits: the widths that are probed.
        granularity: ``layer`` quantizes a whole encoder layer at a time, ``linear`` one Linear module.
        chosen: the units to quantize, by their places in the model; None = all.
    """

    scope: Scope
    pooling: Pooling
    bits: tuple[int, ...]
    quantizer: QuantizerName
    group_size: int | None
    granularity: Granularity = "layer"
    chosen: frozenset[int] | None = None

    @classmethod
    def of(cls, config: RunConfig, **changes: Any) -> "Probe":
        """Return the probe of whole layers that ``config`` names, with ``changes``."""
        probe = cls(
            scope=config.scope,
            pooling=config.pooling,
            bits=config.widths,
            quantizer=for_probes(config.quantizer),
            group_size=config.group_size,
        )
        return dataclasses.replace(probe, **changes)

    def units(self, model: nn.Module) -> list[list[str]]:
        """Return the units of each encoder layer that are quantized, by their names in it; "" = all of it."""
        places, units = itertools.count(), []
        for layer in encoder_layers(model):
            names = [""] if self.granularity == "layer" else [name for name, _ in linears(layer)]
            numbered = zip(names, places, strict=False)
            units.append([name for name, place in numbered if self.chosen is None or place in self.chosen])
        return units

    def twins(
        self, layer: nn.Module, names: Sequence[str], hessians: Mapping[str, Hessian] | None = None
    ) -> list[nn.Module]:
        """Return quantized copies of ``layer``, unit by unit, each at every width; they share all weights
        with it but those that are quantized.

        Args:
            names: the units of the layer.
            hessians: of the inputs of its Linears, for GPTQ.

        Raises:
            MpqError: E-MODEL when a weight holds NaN or infinity.
        """
        twins = []
        for name in names:
            own = {id(linear.weight) for _, linear in linears(layer.get_submodule(name))}
            for bits in self.bits:
                shared = {id(p): p for p in layer.parameters() if id(p) not in own}
                twin = copy.deepcopy(layer, shared)
                seen = {"": hessians[name]} if hessians and name in hessians else hessians
                unit = twin.get_submodule(name)
                widths = {linear: bits for linear, _ in linears(unit)}
                quantize_layer(unit, widths, self.quantizer, self.group_size, seen)
                twins.append(twin)
        return twins
