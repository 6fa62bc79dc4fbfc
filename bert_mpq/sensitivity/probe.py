"""How encoder layers are perturbed, and their quantized twins."""

import contextlib
import copy
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import encoder_layers, linears
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.quantization.hessian import Hessian
from bert_mpq.quantization.layer import quantize_layer
from bert_mpq.records.context import Stage
from bert_mpq.settings.choices import Granularity, Pooling, Scope
from bert_mpq.settings.config import RunConfig
from bert_mpq.settings.quantizers import QuantizerName, for_probes, needs_calibration

TWINS_TITLE = "Quantize the twins"
Made = TypeVar("Made", bound=nn.Module)


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


def quantized_twins(
    model: nn.Module, probe: Probe, calibration: Workload | None, reporter: Reporter
) -> list[list[nn.Module]]:
    """Return every encoder layer's quantized copies; ``model`` itself stays FP32."""
    layers, units, twins = list(encoder_layers(model)), probe.units(model), []
    with contextlib.ExitStack() as stack:
        source = None
        if calibration is not None and needs_calibration(probe.quantizer, probe.bits):
            source = stack.enter_context(LayerReviews(model, calibration))
        for index in reporter.track(range(len(layers)), TWINS_TITLE, len(layers)):
            hessians = source.hessians(index) if source and units[index] else None
            twins.append(probe.twins(layers[index], units[index], hessians))
    return twins


def made_with_twins(
    make: Callable[[], Made], machine: Machine, reporter: Reporter
) -> tuple[Made, nn.Module, Stage]:
    """Make a module of quantized twins and put it where it runs; every process gets that of process 0.

    Returns:
        the module; what runs it on all GPUs of the machine; the stage that this was.
    """
    started = reporter.clock()
    made = make()
    placed = machine.place(made)
    distributed.use_weights_of_first(made)
    return made, placed, Stage(name=TWINS_TITLE, seconds=reporter.clock() - started)
