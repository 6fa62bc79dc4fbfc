"""The quantized twins of encoder layers."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from bert_mpq.compute import distributed
from bert_mpq.compute.devices import Machine
from bert_mpq.compute.encoder import encoder_layers
from bert_mpq.compute.reporting import Reporter, Silent
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.records.context import Stage
from bert_mpq.sensitivity.probe import Probe
from bert_mpq.settings.quantizers import needs_calibration

TWINS_TITLE = "Quantize the twins"
Made = TypeVar("Made", bound=nn.Module)


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


@dataclass(frozen=True, kw_only=True)
class Twins:
    """A copy of a classifier and the quantized copies of its encoder layers: several passes can use them.

    Args:
        model: the FP32 copy; the twins share all weights with it but those that are quantized.
        probe: what is quantized; its widths are those of the twins.
        layers: the twins of each encoder layer, unit by unit, each at every width.
    """

    model: nn.Module
    probe: Probe
    layers: Sequence[Sequence[nn.Module]]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        probe: Probe,
        calibration: Workload | None = None,
        reporter: Reporter | None = None,
    ) -> "Twins":
        """Quantize copies of all encoder layers; ``model`` stays as it is.

        Args:
            calibration: reviews for GPTQ, which sees every layer's FP32 inputs; None = ``rtn-mse`` instead.
            reporter: shows the progress; default none.

        Raises:
            MpqError: E-MODEL when a weight holds NaN or infinity; E-MEMORY.
        """
        own = copy.deepcopy(model).eval()
        made = quantized_twins(own, probe, calibration, reporter or Silent())
        return cls(model=own, probe=probe, layers=made)

    def for_probe(self, probe: Probe) -> "Twins":
        """Return the twins that another probe asks for; no weight is quantized again.

        Args:
            probe: at some of the widths; of a part of the layers or of their Linears, where these are whole.

        Raises:
            ValueError: a width is not among these, they are not whole layers, or another quantizer made them.
        """
        if probe == self.probe:
            return self
        if self.probe.granularity != "layer" or self.probe.chosen is not None:
            raise ValueError("only twins of all layers hold those of another probe")
        if (probe.quantizer, probe.group_size) != (self.probe.quantizer, self.probe.group_size):
            raise ValueError("the twins were made by another quantizer")
        places = [self.probe.bits.index(width) for width in probe.bits]
        layers = [
            [_with_one_linear(layer, name, made[place]) for name in names for place in places]
            for layer, names, made in zip(
                encoder_layers(self.model), probe.units(self.model), self.layers, strict=True
            )
        ]
        return Twins(model=self.model, probe=probe, layers=layers)

    def bare_model(self) -> nn.Module:
        """Return another copy of the model with the same weights, whose modules a pass may replace."""
        return copy.deepcopy(self.model, {id(weight): weight for weight in self.model.parameters()})


def _with_one_linear(layer: nn.Module, name: str, twin: nn.Module) -> nn.Module:
    """Return ``layer`` with one Linear of its twin; the whole twin for the name ""."""
    if not name:
        return twin
    shared = {id(weight): weight for weight in layer.parameters()}
    shared[id(layer.get_submodule(name).weight)] = twin.get_parameter(f"{name}.weight")
    return copy.deepcopy(layer, shared)


class SharedTwins:
    """Twins that several passes use: made when the first asks for them, forgotten when the last has them.

    Args:
        make: quantizes them; with GPTQ that is a walk of the calibration reviews through the model.
        passes: how many will ask.
    """

    def __init__(self, make: Callable[[], Twins], passes: int) -> None:
        self._make, self._left = make, passes
        self._made: Twins | None = None

    def __call__(self) -> Twins:
        """Return the twins."""
        made = self._made or self._make()
        self._left -= 1
        self._made = made if self._left else None
        return made


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
