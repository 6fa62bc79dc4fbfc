"""The encoder layers of a model quantized in place, first layer first, each for what those before it give."""

import contextlib
from collections.abc import Generator, Iterator, Mapping

import torch
from torch import nn

from bert_mpq.compute.checkpoints import Checkpoint, State
from bert_mpq.compute.encoder import encoder_layers, linear_names, linears
from bert_mpq.compute.reporting import Reporter
from bert_mpq.compute.workload import Workload
from bert_mpq.quantization.calibration import LayerReviews
from bert_mpq.quantization.layer import quantize_layer
from bert_mpq.quantization.rounding import LayerRounding, RoundingRecipe
from bert_mpq.quantization.scheme import Scheme
from bert_mpq.quantization.weight import QuantizedWeight, as_tensors, from_tensors
from bert_mpq.settings.quantizers import Algorithm, needs_calibration, quantizer_for


class Layerwise:
    """Quantizes one encoder layer after the other.

    Args:
        model: the FP32 classifier.
        quantized: a copy of it, whose layers are quantized in place.
        bits: of every encoder Linear, by its name in the model.
        scheme: quantizer and group size.
        calibration: reviews, for the algorithms that look at some.
    """

    def __init__(
        self,
        model: nn.Module,
        quantized: nn.Module,
        bits: Mapping[str, int],
        scheme: Scheme,
        calibration: Workload | None,
    ) -> None:
        self._model, self._quantized, self._bits = model, quantized, bits
        self._scheme, self._calibration = scheme, calibration
        self._recipe = RoundingRecipe(seed=scheme.seed)
        self._layers = list(encoder_layers(quantized))
        self._names = [
            dict(zip((name for name, _ in linears(layer)), full, strict=True))
            for layer, full in zip(self._layers, linear_names(quantized), strict=True)
        ]
        self._weights: dict[str, QuantizedWeight] = {}

    def run(self, reporter: Reporter, checkpoint: Checkpoint | None) -> dict[str, QuantizedWeight]:
        """Return the codes and scales of all Linears below 16 bits by their names in the model.

        Raises:
            MpqError: E-MODEL; E-MEMORY.
        """
        done = self._restored(checkpoint)
        if done:
            reporter.note(
                f"Quantize: going on from a checkpoint, {done} of {len(self._layers)} layers are done."
            )
        left = range(done, len(self._layers))
        # Beside layers that look at reviews plain rounding takes no time: counted, it would spoil the ETA.
        counted = frozenset(filter(self._calibrated, left)) or frozenset(left)
        work = len(counted) + self._recipe.steps * sum(bool(self._learned(index)) for index in left)
        # Closed, so that Ctrl-C leaves the models whole.
        with contextlib.closing(self._steps(left, counted, checkpoint)) as steps:
            for _ in reporter.track(steps, "Quantize", work):
                pass
        return self._weights

    def _steps(
        self, left: range, counted: frozenset[int], checkpoint: Checkpoint | None
    ) -> Generator[None, None, None]:
        """Quantize the layers left; yield after every counted one, and every step of learned rounding."""
        with contextlib.ExitStack() as stack:
            source = rounding = None
            if self._calibration is not None:
                source = stack.enter_context(LayerReviews(self._quantized, self._calibration))
                if any(map(self._learned, left)):
                    teacher = stack.enter_context(LayerReviews(self._model, self._calibration))
                    rounding = LayerRounding(teacher, source, self._recipe)
            for index in left:
                self._quantize(index, source)
                if rounding is not None and self._learned(index):
                    yield from self._round(index, rounding)
                if checkpoint is not None and checkpoint.due:
                    facts = {"layers": index + 1, "bits": {n: w.bits for n, w in self._weights.items()}}
                    checkpoint.write(State(tensors=as_tensors(self._weights), facts=facts))
                if index in counted:
                    yield None

    def _quantize(self, index: int, source: LayerReviews | None) -> None:
        layer, names, scheme = self._layers[index], self._names[index], self._scheme
        widths = {name: self._bits[full] for name, full in names.items()}
        hessians = source.hessians(index) if source is not None and self._calibrated(index) else None
        found = quantize_layer(layer, widths, scheme.quantizer, scheme.group_size, hessians)
        self._weights |= {full: found[name] for name, full in names.items() if name in found}

    def _calibrated(self, index: int) -> bool:
        """Return whether an algorithm of the layer looks at calibration reviews."""
        widths = [self._bits[full] for full in self._names[index].values()]
        return needs_calibration(self._scheme.quantizer, widths)

    def _learned(self, index: int) -> dict[str, str]:
        """Return the Linears of a layer whose rounding is learned: names in the layer, and in the model."""
        return {name: full for name, full in self._names[index].items() if self._algorithm(full) == "learned"}

    def _algorithm(self, full: str) -> Algorithm | None:
        bits, scheme = self._bits[full], self._scheme
        calibrated = self._calibration is not None
        if bits >= 16:
            return None
        return quantizer_for(scheme.quantizer, bits, scheme.group_size, calibrated).algorithm

    def _round(self, index: int, rounding: LayerRounding) -> Iterator[None]:
        names = self._learned(index)
        start = {name: self._weights[full] for name, full in names.items()}
        originals = {name: self._model.get_parameter(f"{full}.weight") for name, full in names.items()}
        for found in rounding.learn(index, start, originals):
            if found is None:
                yield None
            else:
                self._weights |= {names[name]: weight for name, weight in found.items()}

    def _restored(self, checkpoint: Checkpoint | None) -> int:
        """Put the layers of a checkpoint in place; return how many there are."""

        def load(state: State) -> tuple[int, dict[str, QuantizedWeight]]:
            return int(state.facts["layers"]), from_tensors(state.tensors, state.facts["bits"])

        done, weights = (checkpoint and checkpoint.restore(load)) or (0, {})
        for index in range(done):
            rest = {n: self._bits[full] for n, full in self._names[index].items() if full not in weights}
            quantize_layer(self._layers[index], rest, self._scheme.quantizer, self._scheme.group_size)
        with torch.no_grad():
            for name, weight in weights.items():
                self._quantized.get_parameter(f"{name}.weight").copy_(weight.dequantize())
        self._weights |= weights
        return done
